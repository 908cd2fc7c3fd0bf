//! The output of the commands at 40, 80 and 120 columns, compared with the captures that the book
//! shows. `UPDATE_CAPTURES=1 cargo test -p caviar` writes them again.

pub(crate) mod samples;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::explain::Explanation;
use super::page::{Page, width};
use super::sweep::View;
use super::{best, importance, sweep, sweeps, trials, workers};
use crate::progress::screen::{Lengths, screen};

const WIDTHS: [usize; 3] = [40, 80, 120];

/// The name of each capture and its text.
fn captures(page: Page) -> Vec<(&'static str, String)> {
    let view = View { page, ..View::default() };
    let (small, large) = (samples::sweep(), samples::running_sweep());
    let (all, running) = (samples::trials(), samples::running());
    let ranked = samples::ranked_trials();
    let list = [small.clone(), large.clone(), samples::long_sweep()];
    let winner = small.best.clone().unwrap();
    let mut captures = Vec::new();
    let mut capture = |name, write: &dyn Fn(&mut Vec<u8>) -> std::io::Result<()>| {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        captures.push((name, String::from_utf8(out).unwrap()));
    };
    capture("status-running", &|out| sweep::status(out, &large, &running, view));
    capture("status-completed", &|out| sweep::status(out, &small, &[], view));
    capture("status-boxes", &|out| sweep::status(out, &samples::with_boxes(), &[], view));
    capture("list", &|out| sweeps::list(out, &list, view));
    capture("trials", &|out| trials::table(out, &small, &all, page));
    capture("trials-running", &|out| trials::table(out, &large, &running, page));
    capture("best", &|out| best::text(out, &small, &winner, page));
    capture("explain", &|out| {
        Explanation::new(&small, &ranked[2], &ranked).text(out, &small, page)
    });
    capture("importance", &|out| importance::text(out, &small, &samples::importance(), page));
    capture("workers", &|out| workers::table(out, &samples::workers(), page));
    let left = Some(Duration::from_secs(754));
    let lines = screen(&large, &running, Lengths { left, lines: 16 }, page);
    captures.push(("run", lines.join("\n") + "\n"));
    captures
}

#[test]
fn captures_in_the_book_are_current() {
    let update = std::env::var_os("UPDATE_CAPTURES").is_some();
    for columns in WIDTHS {
        let folder =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/captures/{columns}"));
        for (name, text) in captures(Page::with_columns(columns)) {
            let path = folder.join(format!("{name}.txt"));
            if update {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, &text).unwrap();
            }
            let expected = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(
                text,
                expected,
                "{} differs: UPDATE_CAPTURES=1 cargo test -p caviar writes it again",
                path.display()
            );
        }
    }
}

#[test]
fn no_line_of_any_command_is_wider_than_the_terminal() {
    for columns in 20..=200 {
        for (name, text) in captures(Page::with_columns(columns)) {
            for line in text.lines() {
                assert!(width(line) <= columns, "{name} at {columns} columns:\n{text}");
            }
        }
    }
}

#[test]
fn colour_does_not_change_the_layout() {
    for columns in WIDTHS {
        let plain = captures(Page::with_columns(columns));
        let coloured =
            captures(Page { columns: Some(columns), has_colour: true, ..Page::default() });
        for ((name, plain), (_, coloured)) in plain.into_iter().zip(coloured) {
            assert_ne!(plain, coloured, "{name} has no colour");
            assert_eq!(plain, console::strip_ansi_codes(&coloured), "{name}");
        }
    }
}

#[test]
fn a_pipe_gets_whole_names_and_every_column() {
    for (name, text) in captures(Page::default()) {
        assert!(!text.contains('…') && !text.contains("not shown"), "{name}:\n{text}");
    }
}
