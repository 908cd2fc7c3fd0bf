//! One upload: a file that grows chunk by chunk.

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use caviar_blob::{Blob, Intake, Outline, new_private};

use super::home::Home;
use super::{ArtifactError, folder};

/// A blob that arrives. Its file is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Upload {
    /// `None` only while it is being finished.
    intake: Option<Intake<File>>,
    outline: Outline,
    path: PathBuf,
    /// When the last chunk arrived.
    pub(super) touched: Instant,
}

impl Upload {
    /// An upload without any chunk. `number` is different for each upload of this process.
    pub(super) fn new(
        home: &dyn Home,
        outline: Outline,
        number: u64,
    ) -> Result<Self, ArtifactError> {
        let path = home.partial()?.join(format!("{}.{number}", outline.blob().name));
        let intake = Intake::new(outline.clone(), new_private(&path)?);
        Ok(Self { intake: Some(intake), outline, path, touched: Instant::now() })
    }

    /// The number of bytes of the blob that have arrived.
    pub(crate) fn blob(&self) -> Blob {
        self.outline.blob()
    }

    /// Where the next chunk begins.
    pub(crate) fn offset(&self) -> u64 {
        self.intake.as_ref().map_or(0, Intake::offset)
    }

    /// Whether the last chunk has arrived.
    pub(crate) fn is_complete(&self) -> bool {
        self.intake.as_ref().is_some_and(Intake::is_complete)
    }

    /// Verifies and writes the next chunk.
    ///
    /// # Errors
    /// It is damaged or not the next one, or it cannot be written.
    pub(crate) fn push(&mut self, offset: u64, bytes: &[u8]) -> Result<(), ArtifactError> {
        if let Some(intake) = &mut self.intake {
            intake.push(offset, bytes)?;
            self.touched = Instant::now();
        }
        Ok(())
    }

    /// Syncs the complete file and gives it the name of the blob.
    pub(super) fn finish(&mut self, home: &dyn Home) -> Result<(), ArtifactError> {
        if let Some(intake) = self.intake.take() {
            intake.finish()?.sync_all()?;
            home.accept(&self.outline, &self.path)?;
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // A complete upload has renamed its file.
        if let Err(error) = folder::or_absent(std::fs::remove_file(&self.path), ()) {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}
