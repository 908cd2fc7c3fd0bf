//! `caviar split`: which row of the data is in which split.

use std::io::Write;

use caviar_client::Client;
use caviar_common::view::SweepView;
use caviar_data::{Bytes, Dataset, load, split_rows};

use crate::args::models::Split;
use crate::blobs::download;
use crate::embedded::Reader;
use crate::failure::Failure;
use crate::progress::talk;
use crate::show;

/// Writes one line for each row of the data.
pub(crate) async fn split(args: &Split) -> anyhow::Result<()> {
    let (sweep, dataset) = Reader::with(&args.source, async |reader| {
        let sweep = reader.client.sweep(&args.sweep).await?;
        let dataset = dataset(&reader.client, &sweep).await?;
        Ok((sweep, dataset))
    })
    .await?;
    let rows = split_rows(&dataset, &sweep.spec.data, sweep.spec.seed)?;
    let count = rows.train.len() + rows.validation.len() + rows.test.len();
    let mut splits = vec!["train"; count];
    let folds: Vec<String> = (1..=rows.folds.len()).map(|fold| format!("fold{fold}")).collect();
    let folds = folds.iter().map(String::as_str).zip(&rows.folds);
    let named = [("validation", &rows.validation), ("test", &rows.test)].into_iter().chain(folds);
    for (name, numbers) in named {
        for &number in numbers {
            if let Some(split) = splits.get_mut(number) {
                *split = name;
            }
        }
    }
    let mut out = show::stdout();
    writeln!(out, "row,split")?;
    for (number, split) in (1..).zip(splits) {
        writeln!(out, "{number},{split}")?;
    }
    if dataset.notes().iter().any(|note| note.code == "rows_without_label") {
        talk("note: rows without a label are left out and not counted");
    }
    Ok(out.flush()?)
}

/// The data of a sweep: at its path if the same is still there, else from the coordinator.
pub(crate) async fn dataset(client: &Client, sweep: &SweepView) -> anyhow::Result<Dataset> {
    if sweep.spec.data.is_external() {
        let message = format!("external programs run the trials of {}", sweep.name);
        return Err(Failure::hinted(message, "such a sweep has no data to split").into());
    }
    let at_path = load(&sweep.spec.data).map_err(|error| error.to_string());
    let at_path = at_path.and_then(|dataset| {
        let is_same = dataset.digest() == sweep.data.digest;
        if is_same { Ok(dataset) } else { Err("it has changed since".to_owned()) }
    });
    match (at_path, sweep.data.block) {
        (Ok(dataset), _) => Ok(dataset),
        (Err(_), Some(block)) => {
            Ok(Dataset::from_block(Bytes::from(download(client, block).await?))?)
        }
        (Err(why), None) => {
            let source = &sweep.spec.data.source;
            let message = format!("the data of {} is not at {source}: {why}", sweep.name);
            Err(Failure::hinted(message, "put the file of the sweep there again").into())
        }
    }
}
