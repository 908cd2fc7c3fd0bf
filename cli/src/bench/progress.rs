//! What a terminal shows while the benchmark runs. Elsewhere nothing is shown.

use console::Term;
use indicatif::{ProgressBar, ProgressStyle};

use crate::show::page::Page;

/// One line on a terminal, which is drawn again and again.
#[derive(Debug)]
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Chooses what standard error can show.
    pub(crate) fn new() -> Self {
        let is_shown = Page::of(&Term::stderr()).columns.is_some();
        Self(is_shown.then(|| {
            let style = ProgressStyle::with_template("{msg}");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        }))
    }

    /// Shows a line instead of the one before it.
    pub(crate) fn show(&self, line: impl FnOnce() -> String) {
        if let Some(bar) = &self.0 {
            bar.set_message(line());
        }
    }

    /// Removes the line.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
