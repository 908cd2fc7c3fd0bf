//! The inner loops, for the machine that runs them.
//!
//! A [`Family`] is a set of vector instructions; what it does with them is [`Simd`], and the passes of the other modules are written over
//! that. It is chosen once a process by what the processor has; the environment
//! variable `CAVIAR_KERNELS` (`avx512`, `avx2` or `portable`) forces one. A value that names none, or one that this
//! machine lacks, is an error of every new trainer. Whatever the family, every sum runs in one order and every
//! multiply-add rounds once, so the results are the same bits.
//!
//! This is the only module with `unsafe`: register tiles read and write through pointers, and instructions beyond the
//! baseline may run only where they were detected. What it exports is safe: lengths are checked here.
#![allow(unsafe_code, reason = "vector instructions and pointer walks; every block says why it is sound")]
#![allow(clippy::indexing_slicing, reason = "an index out of range is a bug here; the checks below bound all of them")]

mod buffer;
mod panels;
mod portable;
mod simd;
mod tile;
mod transpose;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

pub(crate) use buffer::Buffer;
pub(crate) use panels::{PANEL, Panel, offset, padded, panels};
pub(crate) use simd::{LANES, Lanes, Pass, Simd};

use crate::error::TrainError;
use tile::{PanelProduct, Tiles};
use transpose::Transpose;

/// A set of vector instructions. `Avx512` and `Avx2` exist only as values made by [`Family::available`], after detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Family(Instructions);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instructions {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

/// Sizes of a layer's products: a [rows, inputs] times W [inputs, outputs]. All matrices are in [`mod@panels`] layout; W and its
/// gradient have their rows padded like columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl Shape {
    fn a_len(self) -> usize {
        self.rows * padded(self.inputs)
    }

    fn w_len(self) -> usize {
        padded(self.inputs) * padded(self.outputs)
    }

    fn z_len(self) -> usize {
        self.rows * padded(self.outputs)
    }

    /// Length of the scratch of [`Family::input_gradient`].
    pub(crate) fn scratch_len(self) -> usize {
        panels::PANEL * padded(self.outputs)
    }
}

/// The family that trainers of this process use, by name: `avx512`, `avx2` or `portable`.
///
/// # Errors
/// `CAVIAR_KERNELS` names none that this machine has, so no trainer starts.
pub fn kernel_family() -> Result<&'static str, TrainError> {
    Family::of_process().map(Family::name)
}

impl Family {
    /// The families that this machine has, best first; `portable` is always the last.
    pub(crate) fn available() -> Vec<Self> {
        let mut families = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let has_avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw");
            if has_avx2 && has_avx512 {
                families.push(Self(Instructions::Avx512));
            }
            if has_avx2 {
                families.push(Self(Instructions::Avx2));
            }
        }
        families.push(Self(Instructions::Portable));
        families
    }

    fn best() -> Self {
        Self::available().first().copied().unwrap_or(Self(Instructions::Portable))
    }

    /// The family of this process, detected once.
    ///
    /// # Errors
    /// `CAVIAR_KERNELS` names no family of this machine.
    pub(crate) fn of_process() -> Result<Self, TrainError> {
        static CHOSEN: OnceLock<Result<Family, String>> = OnceLock::new();
        let forced = || std::env::var("CAVIAR_KERNELS").ok();
        CHOSEN.get_or_init(|| Self::named(forced())).clone().map_err(|value| TrainError::Kernels { value })
    }

    /// The family of that name, the best one if none is named; else the name.
    pub(crate) fn named(name: Option<String>) -> Result<Self, String> {
        let Some(name) = name else { return Ok(Self::best()) };
        Self::available().into_iter().find(|family| family.name() == name).ok_or(name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => "avx2",
            Instructions::Portable => "portable",
        }
    }

    fn tiles(self) -> &'static Tiles {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => &tile::avx512::TILES,
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => &tile::avx2::TILES,
            Instructions::Portable => &tile::portable::TILES,
        }
    }

    /// Runs `pass` with this family's instructions.
    #[inline]
    pub(crate) fn run<P: Pass>(self, pass: P) -> P::Output {
        match self.0 {
            // SAFETY: the value exists, so the instructions were detected.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => unsafe { tile::avx512::run(pass) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => unsafe { tile::avx2::run(pass) },
            Instructions::Portable => pass.run(portable::Portable),
        }
    }

    /// One panel of z = a W, for all of a and W.
    pub(crate) fn forward(self, shape: Shape, panel: Panel, a: &[f32], w: &[f32], z: &mut [f32]) {
        let Panel { first, width } = panel;
        let w = &w[first * padded(shape.inputs)..];
        let lengths_fit = a.len() >= shape.a_len() && w.len() >= shape.inputs * width && z.len() >= shape.rows * width;
        assert!(lengths_fit, "buffers of {shape:?} {panel:?}");
        let product = PanelProduct {
            rows: shape.rows,
            depth: shape.inputs,
            width,
            columns: panel.columns_of(shape.outputs),
            a: a.as_ptr(),
            b: w.as_ptr(),
            c: z.as_mut_ptr(),
        };
        // SAFETY: a holds rows x inputs, the panels of w and z hold inputs x width and rows x width (checked above), and the family was
        // detected.
        unsafe { (self.tiles().rows)(product) };
    }

    /// g = a^T d, the gradient by W, for d [rows, outputs] the gradient by z. The padding rows of g are left alone.
    pub(crate) fn weight_gradient(self, shape: Shape, a: &[f32], d: &[f32], g: &mut [f32]) {
        assert!(a.len() >= shape.a_len() && d.len() >= shape.z_len() && g.len() >= shape.w_len(), "buffers of {shape:?}");
        for panel in panels(shape.outputs) {
            let Panel { first, width } = panel;
            let product = PanelProduct {
                rows: shape.inputs,
                depth: shape.rows,
                width,
                columns: panel.columns_of(shape.outputs),
                a: a.as_ptr(),
                b: d[first * shape.rows..].as_ptr(),
                c: g[first * padded(shape.inputs)..].as_mut_ptr(),
            };
            // SAFETY: a holds depth x rows, the panels of d and g hold depth x width and rows x width (checked above), and the
            // family was detected.
            unsafe { (self.tiles().columns)(product) };
        }
    }

    /// One panel of e = d W^T [rows, inputs], the gradient by a. `scratch` ([`Shape::scratch_len`]) takes a transposed panel of W.
    pub(crate) fn input_gradient(self, shape: Shape, panel: Panel, d: &[f32], w: &[f32], scratch: &mut [f32], e: &mut [f32]) {
        let width = panel.width;
        let lengths_fit = d.len() >= shape.z_len() && w.len() >= shape.w_len() && e.len() >= shape.rows * width;
        assert!(lengths_fit && scratch.len() >= shape.scratch_len(), "buffers of {shape:?} {panel:?}");
        self.run(Transpose { shape, w, panel, to: scratch });
        let product = PanelProduct {
            rows: shape.rows,
            depth: shape.outputs,
            width,
            columns: panel.columns_of(shape.inputs),
            a: d.as_ptr(),
            b: scratch.as_ptr(),
            c: e.as_mut_ptr(),
        };
        // SAFETY: scratch holds outputs x width; d holds rows x outputs and the panel of e rows x width (checked above); and the family
        // was detected.
        unsafe { (self.tiles().rows)(product) };
    }
}
