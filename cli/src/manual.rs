//! Completion scripts and manual pages, generated from the definition of the command line.

use std::io::Write;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::{Arguments, Man};
use crate::progress::talk;
use crate::show;

/// Writes a completion script to standard output.
pub(crate) fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "caviar", &mut script);
    let mut out = show::stdout();
    out.write_all(&script)?;
    Ok(out.flush()?)
}

/// Writes a manual page for `caviar` and for each of its commands.
pub(crate) fn pages(args: &Man) -> anyhow::Result<()> {
    let shown = args.directory.display();
    std::fs::create_dir_all(&args.directory).with_context(|| format!("cannot create {shown}"))?;
    clap_mangen::generate_to(Arguments::command(), &args.directory)
        .with_context(|| format!("cannot write manual pages into {shown}"))?;
    talk(&format!("wrote the manual pages into {shown}; to read one: man {shown}/caviar.1"));
    Ok(())
}
