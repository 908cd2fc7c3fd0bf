//! The vector instructions that this process uses.

use std::sync::OnceLock;

use caviar_common::text;

use super::peak::Chains;
use super::portable::Portable;
use super::simd::Pass;
use super::tile::{self, Tiles};
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};
use crate::error::TrainError;

/// A set of vector instructions.
///
/// Only [`Family::available`] makes values of families other than `portable`, after detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Family(Instructions);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instructions {
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

/// The kernels that the trainers of this process use: `avx512bf16`, `avx512`, `avx2` or
/// `portable`.
///
/// ```
/// assert!(["avx512bf16", "avx512", "avx2", "portable"].contains(&caviar_nn::kernel_family()?));
/// # Ok::<(), caviar_nn::TrainError>(())
/// ```
///
/// # Errors
/// `CAVIAR_KERNELS` does not name a family of this machine, so no trainer can be made.
pub fn kernel_family() -> Result<&'static str, TrainError> {
    Family::for_process().map(Family::name)
}

/// Does `rounds` rounds of multiply-adds of vectors in registers, and returns the number of
/// floating-point operations: two per lane and multiply-add.
///
/// Its speed is the peak that a training's products are compared with.
///
/// # Errors
/// Those of [`kernel_family`].
pub fn multiply_add(rounds: u64) -> Result<u64, TrainError> {
    Ok(Family::for_process()?.multiply_add(rounds))
}

impl Family {
    /// The families that this machine has, fastest first; `portable` is always the last.
    pub(crate) fn available() -> Vec<Self> {
        let mut families = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let has_avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw");
            if has_avx2 && has_avx512 && is_x86_feature_detected!("avx512bf16") {
                families.push(Self(Instructions::Avx512Bf16));
            }
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

    /// The family of this process, chosen once.
    ///
    /// # Errors
    /// `CAVIAR_KERNELS` does not name a family of this machine.
    pub(crate) fn for_process() -> Result<Self, TrainError> {
        static CHOSEN: OnceLock<Result<Family, TrainError>> = OnceLock::new();
        CHOSEN.get_or_init(|| Self::from_name(std::env::var("CAVIAR_KERNELS").ok())).clone()
    }

    /// The family of this machine with that name, or the fastest one for `None`.
    ///
    /// # Errors
    /// The machine has no such family.
    pub(crate) fn from_name(name: Option<String>) -> Result<Self, TrainError> {
        let Some(name) = name else { return Ok(Self::best()) };
        let families = Self::available();
        let found = families.iter().copied().find(|family| family.name() == name);
        found.ok_or_else(|| TrainError::Kernels {
            value: name,
            available: text::one_of(families.iter().map(|family| family.name())),
        })
    }

    /// The name that `CAVIAR_KERNELS` uses.
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Bf16 => "avx512bf16",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => "avx2",
            Instructions::Portable => "portable",
        }
    }

    /// The family's products of floats.
    pub(super) fn tiles(self) -> &'static Tiles {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Bf16 | Instructions::Avx512 => &tile::avx512::TILES,
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => &tile::avx2::TILES,
            Instructions::Portable => &tile::portable::TILES,
        }
    }

    /// The family's products of [pairs](super::pairs) of bf16.
    pub(super) fn tiles_of_pairs(self) -> &'static Tiles {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Bf16 => &tile::avx512_dot::TILES,
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => &tile::avx512_pairs::TILES,
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => &tile::avx2_pairs::TILES,
            Instructions::Portable => &tile::portable_pairs::TILES,
        }
    }

    /// [`multiply_add`] with as many chains as the registers hold.
    pub(super) fn multiply_add(self, rounds: u64) -> u64 {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Bf16 | Instructions::Avx512 => self.run(Chains::<16> { rounds }),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => self.run(Chains::<6> { rounds }),
            Instructions::Portable => self.run(Chains::<6> { rounds }),
        }
    }

    /// Runs `pass`, compiled with this family's instructions.
    #[inline]
    pub(crate) fn run<P: Pass>(self, pass: P) -> P::Output {
        match self.0 {
            // SAFETY: the value exists, so the instructions were detected.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Bf16 | Instructions::Avx512 => unsafe { run_avx512(pass) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => unsafe { run_avx2(pass) },
            Instructions::Portable => pass.run(Portable),
        }
    }
}

/// # Safety
/// The processor has these instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
unsafe fn run_avx512<P: Pass>(pass: P) -> P::Output {
    // SAFETY: the caller's promise.
    pass.run(unsafe { Avx512::detected() })
}

/// # Safety
/// The processor has these instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2<P: Pass>(pass: P) -> P::Output {
    // SAFETY: the caller's promise.
    pass.run(unsafe { Avx2::detected() })
}
