//! The stored form of events. Stores of earlier releases hold it, so it never changes.

use std::collections::BTreeSet;

use caviar_common::ids::{LeaseId, SweepId};
use caviar_core::event::{Event, Payload, SweepDeleted};

/// Events of every kind, one a line, as the release of format 2 wrote them and, for those with the
/// fields that it does not have, as that of format 3 does.
const STORED: &str = include_str!("events.jsonl");

fn decode(line: &str) -> Event {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
}

#[test]
fn stored_events_are_read_and_written_again_byte_for_byte() {
    let mut names = BTreeSet::new();
    for line in STORED.lines() {
        let event = decode(line);
        names.insert(event.name());
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
    }
    assert_eq!(names.len(), 23, "every kind of event is tried: {names:?}");
}

#[test]
fn an_event_starts_with_its_name_and_its_sweep() {
    let text = r#"{"event":"sweep_deleted","sweep":3,"next_lease":5}"#;
    assert_eq!(decode(text), Event::new(SweepId(3), SweepDeleted { next_lease: LeaseId(5) }));
    // A later release may add fields.
    for text in
        [r#"{"event":"sweep_paused","sweep":3}"#, r#"{"event":"sweep_paused","sweep":3,"by":"x"}"#]
    {
        assert_eq!(decode(text), Event::new(SweepId(3), Payload::SweepPaused));
    }
    let text = r#"{"event":"trial_decided","sweep":3,"by":"x","trial":7}"#;
    assert_eq!(decode(text).name(), "trial_decided");
    for (text, expected) in [
        (r#"{"sweep":3,"event":"sweep_paused"}"#, "expected the field `event`, found `sweep`"),
        (
            r#"{"event":"trial_decided","trial":7,"sweep":3}"#,
            "expected the field `sweep`, found `trial`",
        ),
        (r#"{"event":"sweep_paused"}"#, "missing field `sweep`"),
        (r#"{"event":"sweep_vanished","sweep":1}"#, "unknown variant `sweep_vanished`"),
        ("[1]", "expected an event: an object that starts with `event` and `sweep`"),
    ] {
        let error = serde_json::from_str::<Event>(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} for {text}");
    }
}

#[test]
fn an_event_of_an_earlier_release_may_lack_the_fields_that_were_added_since() {
    let created = STORED.lines().find(|line| line.contains("sweep_created")).unwrap();
    let earlier = created.replace(",\"warm_start\":[]", "");
    assert!(earlier.len() < created.len());
    assert_eq!(decode(&earlier), decode(created));
    let finished =
        r#"{"event":"trial_finished","sweep":1,"trial":0,"lease":1,"outcome":"diverged","#;
    let event = decode(&format!("{finished}\"seconds\":1.5}}"));
    let Payload::TrialFinished(finished) = event.payload else { panic!("{event:?}") };
    assert_eq!((finished.seconds, finished.memory_bytes), (Some(1.5), None));
}

#[test]
fn a_missing_field_is_an_error() {
    for line in [r#"{"event":"trial_decided","sweep":1}"#, r#"{"sweep":1}"#] {
        assert!(serde_json::from_str::<Event>(line).is_err(), "{line}");
    }
}
