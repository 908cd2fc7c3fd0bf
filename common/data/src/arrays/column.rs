//! One column of an array.

use std::fmt::{Display, Write};

use caviar_common::numbers::{real, real_from_i64, to_usize};

use crate::numpy::Items;
use crate::stored::{Kind, MAX_EXACT, Stored};

/// Every `width`-th item of an array in C order.
pub(crate) struct ArrayColumn<'a> {
    items: &'a Items,
    index: usize,
    width: usize,
}

impl<'a> ArrayColumn<'a> {
    pub(crate) const fn new(items: &'a Items, index: usize, width: usize) -> Self {
        Self { items, index, width }
    }

    fn each<'b, T>(&self, items: &'b [T]) -> impl Iterator<Item = &'b T> + use<'b, T> {
        items.iter().skip(self.index).step_by(self.width.max(1))
    }

    fn show<T: Display>(
        &self,
        items: &[T],
        is_missing: impl Fn(&T) -> bool,
        visit: &mut dyn FnMut(Option<&str>),
    ) {
        let mut text = String::new();
        for item in self.each(items) {
            text.clear();
            // Writing to a String cannot fail.
            let _ = write!(text, "{item}");
            visit((!is_missing(item)).then_some(text.as_str()));
        }
    }
}

impl Stored for ArrayColumn<'_> {
    fn kind(&self) -> Kind {
        match self.items {
            Items::U8(_) | Items::Int(_) | Items::UInt(_) | Items::F32(_) | Items::F64(_) => {
                Kind::Number
            }
            Items::Bool(_) => Kind::Boolean,
            Items::Text(_) => Kind::Spelling,
        }
    }

    fn numbers(&self, visit: &mut dyn FnMut(f64)) {
        match self.items {
            Items::U8(items) => self.each(items).for_each(|&item| visit(item.into())),
            Items::Bool(items) => self.each(items).for_each(|&item| visit(u8::from(item).into())),
            Items::Int(items) => self.each(items).for_each(|&item| visit(real_from_i64(item))),
            Items::UInt(items) => self.each(items).for_each(|&item| visit(real(to_usize(item)))),
            Items::F32(items) => self.each(items).for_each(|&item| visit(item.into())),
            Items::F64(items) => self.each(items).for_each(|&item| visit(item)),
            Items::Text(items) => self.each(items).for_each(|_| visit(f64::NAN)),
        }
    }

    fn texts(&self, visit: &mut dyn FnMut(Option<&str>)) {
        match self.items {
            Items::U8(items) => self.show(items, |_| false, visit),
            Items::Bool(items) => self.show(items, |_| false, visit),
            Items::Int(items) => self.show(items, |_| false, visit),
            Items::UInt(items) => self.show(items, |_| false, visit),
            Items::F32(items) => self.show(items, |item| item.is_nan(), visit),
            Items::F64(items) => self.show(items, |item| item.is_nan(), visit),
            Items::Text(items) => self.each(items).for_each(|item| visit(Some(item))),
        }
    }

    fn is_rounded(&self) -> bool {
        match self.items {
            Items::Int(items) => self.each(items).any(|item| item.unsigned_abs() > MAX_EXACT),
            Items::UInt(items) => self.each(items).any(|item| *item > MAX_EXACT),
            Items::U8(_) | Items::Bool(_) | Items::F32(_) | Items::F64(_) | Items::Text(_) => false,
        }
    }
}
