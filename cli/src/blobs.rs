//! Blobs of a coordinator in memory.

use caviar_client::Client;
use caviar_client::caviar_blob::{Blob, Intake};

/// Downloads and verifies a blob.
pub(crate) async fn download(client: &Client, blob: Blob) -> anyhow::Result<Vec<u8>> {
    let artifacts = client.artifacts();
    let mut download = artifacts.download(blob, 0).await?;
    let mut intake = Intake::new(download.outline().clone(), Vec::new());
    while let Some((offset, chunk)) = download.next().await? {
        intake.push(offset, &chunk)?;
    }
    Ok(intake.finish()?)
}
