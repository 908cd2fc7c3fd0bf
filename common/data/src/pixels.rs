//! The pixels of images: one byte each, image by image.

use crate::cells::Section;

/// Images of one size. The section has `rows * height * width` bytes.
#[derive(Clone, Debug)]
pub(crate) struct Pixels {
    height: usize,
    columns: usize,
    section: Section,
}

impl Pixels {
    pub(crate) const fn new(height: usize, columns: usize, section: Section) -> Self {
        Self { height, columns, section }
    }

    /// Height and width of an image, in pixels.
    pub(crate) const fn size(&self) -> (usize, usize) {
        (self.height, self.columns)
    }

    /// Pixels of an image.
    pub(crate) const fn width(&self) -> usize {
        self.height * self.columns
    }

    /// The number of images.
    pub(crate) fn rows(&self) -> usize {
        self.bytes().len() / self.width().max(1)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.section.get()
    }

    /// The pixels of an image, line by line.
    pub(crate) fn row(&self, row: usize) -> &[u8] {
        let start = row * self.width();
        self.bytes().get(start..start + self.width()).unwrap_or_default()
    }

    /// The name of each pixel, by its line and column.
    pub(crate) fn names(&self) -> Vec<String> {
        let lines = 0..self.height;
        lines.flat_map(|line| (0..self.columns).map(move |c| format!("pixel_{line}_{c}"))).collect()
    }
}

impl PartialEq for Pixels {
    fn eq(&self, other: &Self) -> bool {
        self.size() == other.size() && self.bytes() == other.bytes()
    }
}
