//! `caviar doctor`: why a worker on this host cannot join its coordinator.
//!
//! ```text
//! findings: asks the network and this host --> Findings
//! rows:     Findings --> rows, pure
//! show:     rows --> text or JSON
//! ```

mod findings;
mod rows;
mod show;

use std::io::Write;

use self::findings::Findings;
use self::rows::{Row, State, rows};
use crate::args::doctor::Doctor;
use crate::failure::Failure;
use crate::show::page::Page;

/// Carries out `caviar doctor`. It fails if a row has failed.
pub(crate) async fn doctor(args: &Doctor) -> anyhow::Result<()> {
    let rows = rows(&Findings::gather(args).await);
    let mut out = crate::show::stdout();
    if args.json {
        crate::show::json(&mut out, &rows)?;
    } else {
        show::text(&mut out, &rows, Page::of_stdout())?;
    }
    out.flush()?;
    match summary(&rows) {
        Some(summary) => Err(Failure::with_hints(summary, Vec::new()).into()),
        None => Ok(()),
    }
}

/// The checks that failed; `None` if none did.
fn summary(rows: &[Row]) -> Option<String> {
    let mut failed: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.state == State::Failed) {
        if failed.last() != Some(&row.check.name()) {
            failed.push(row.check.name());
        }
    }
    match failed.as_slice() {
        [] => None,
        [only] => Some(format!("the check {only} failed")),
        several => Some(format!("{} checks failed: {}", several.len(), several.join(", "))),
    }
}
