//! Statuses keep the class and the problems of an error, and their size is bounded.

use std::ops::Range;

use caviar_common::error::{ErrorClass, Problem, Problems};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::{ProptestConfig, Strategy, prop_assert, prop_assert_eq, proptest};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::status;

const CLASSES: [ErrorClass; 9] = [
    ErrorClass::Invalid,
    ErrorClass::NotFound,
    ErrorClass::Exists,
    ErrorClass::Refused,
    ErrorClass::Stale,
    ErrorClass::Busy,
    ErrorClass::Unavailable,
    ErrorClass::Corrupt,
    ErrorClass::Internal,
];

/// A client with default settings refuses longer header lists, in bytes.
const HEADER_LIMIT: usize = 16 * 1024;

/// The size of the headers of a status, as HTTP/2 counts it.
fn header_bytes(status: &Status) -> usize {
    let mut headers = tonic::codegen::http::HeaderMap::new();
    status.add_header(&mut headers).unwrap();
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

/// Texts of the characters that the encoding of a problem must distinguish.
fn tricky() -> impl Strategy<Value = String> {
    proptest::sample::select(vec![
        "=", "= ", ":", ": ", "%", "%3A", "%25", "a", " ", "\"", "é", "3",
    ])
    .prop_flat_map(|first| {
        vec(proptest::sample::select(vec![first, ":", " ", "%", "=", "x", "3A", "25"]), 0..8)
    })
    .prop_map(|parts| parts.concat())
}

fn problem() -> impl Strategy<Value = Problem> {
    ("[a-z.]{1,12}", of(tricky()), tricky())
        .prop_map(|(field, value, message)| Problem { value, ..Problem::new(field, message) })
}

/// Texts of any length, of characters that take one to four bytes, and up to three times as many in
/// a header.
fn repeated(length: Range<usize>) -> impl Strategy<Value = String> {
    (proptest::sample::select(vec!["a", " ", "%", ":", "\n", "é", "\u{1f980}"]), length)
        .prop_map(|(text, n)| text.repeat(n))
}

fn there_and_back(problems: &Problems) -> Problems {
    status::problems_of(&status::from_problems(problems)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 2_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn problems_are_the_same_after_a_round_trip(list in vec(problem(), 1..6)) {
        let problems: Problems = list.into_iter().collect();
        prop_assert_eq!(there_and_back(&problems), problems);
    }

    #[test]
    fn the_size_of_the_headers_is_bounded(
        list in vec((repeated(1..400), of(repeated(0..400)), repeated(0..2000)), 1..50),
    ) {
        let problem = |(field, value, message): (String, Option<String>, String)| {
            Problem { value, ..Problem::new(field, message) }
        };
        let problems: Problems = list.into_iter().map(problem).collect();
        let status = status::from_problems(&problems);
        prop_assert!(header_bytes(&status) < HEADER_LIMIT, "{}", header_bytes(&status));
        prop_assert!(status::problems_of(&status).is_some());
    }
}

#[test]
fn every_class_is_the_same_after_a_round_trip() {
    for class in CLASSES {
        assert_eq!(status::class_of(&status::new(class, "why")), class);
    }
    assert_eq!(
        status::class_of(&Status::new(Code::Unknown, "transport error")),
        ErrorClass::Unavailable
    );
}

#[test]
fn people_and_other_clients_can_read_a_status() {
    let problems: Problems = [
        Problem::with_value("data.source", 3, "expected text in quotes"),
        Problem::with_value("name", "\"a: b\"", "expected letters"),
        Problem::new(
            "search.trials",
            "missing: expected the number of trials, such as trials = 60",
        ),
    ]
    .into_iter()
    .collect();
    let status = status::from_problems(&problems);
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), problems.to_string());
    let violations = status.get_details_bad_request().unwrap().field_violations;
    let said: Vec<(&str, &str)> =
        violations.iter().map(|v| (v.field.as_str(), v.description.as_str())).collect();
    let expected = [
        ("data.source", "= 3: expected text in quotes"),
        ("name", "= \"a%3A b\": expected letters"),
        ("search.trials", "missing: expected the number of trials, such as trials = 60"),
    ];
    assert_eq!(said, expected);
    assert_eq!(there_and_back(&problems), problems);
}

#[test]
fn a_long_list_ends_with_the_number_of_problems_left_out() {
    let problems: Problems =
        (0..100).map(|i| Problem::new(format!("fixed.x{i}"), "unknown hyperparameter")).collect();
    let shown = there_and_back(&problems);
    let last = shown.iter().last().unwrap();
    let listed = shown.iter().len() - 1;
    assert_eq!(listed, 32);
    assert_eq!(last.message, "and 68 more: fix these first");
    assert!(status::from_problems(&problems).message().ends_with("and 68 more: fix these first"));
}

#[test]
fn the_largest_problem_fits_into_a_status() {
    // Every byte becomes three when percent-encoded, and every part is longer than its limit.
    let text = "é".repeat(5_000);
    let problems = Problems::from(Problem::with_value(text.clone(), &text, &text));
    let status = status::from_problems(&problems);
    assert!(header_bytes(&status) < HEADER_LIMIT, "{}", header_bytes(&status));
    let shown = status::problems_of(&status).unwrap();
    assert!(shown.iter().next().unwrap().message.starts_with("éé"));
    assert!(header_bytes(&status::new(ErrorClass::Internal, text)) < HEADER_LIMIT);
}

#[test]
fn a_status_of_another_server_is_read() {
    assert_eq!(status::problems_of(&Status::new(Code::InvalidArgument, "no")), None);
    let empty = Status::with_error_details(
        Code::InvalidArgument,
        "no",
        ErrorDetails::with_bad_request(Vec::new()),
    );
    assert_eq!(status::problems_of(&empty), None);
    let other = Status::with_error_details(
        Code::InvalidArgument,
        "no",
        ErrorDetails::with_bad_request_violation("x", "= nothing"),
    );
    assert_eq!(status::problems_of(&other), Some(Problems::from(Problem::new("x", "= nothing"))));
    let broken = Status::with_details(Code::InvalidArgument, "no", vec![0xff; 9].into());
    assert_eq!(status::problems_of(&broken), None);
}
