//! The few vector operations that a product needs, for each family.

/// A vector of floats in one register.
///
/// # Safety
/// Every method needs the family's instructions; `load` and `store` need `LANES` floats at the pointer, of any alignment.
pub(super) trait Vector: Copy {
    /// Floats in one.
    const LANES: usize;

    /// `x` in every lane.
    unsafe fn splat(x: f32) -> Self;
    /// What lies at `from`.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes it to `to`.
    unsafe fn store(self, to: *mut f32);
    /// self + a b, rounded once.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// The lanes of both in turn (self's 0, other's 0, self's 1, ...): the first half, then the second.
    unsafe fn interleave(self, other: Self) -> [Self; 2];
}

#[cfg(target_arch = "x86_64")]
macro_rules! x86_vector {
    ($name:ident, $register:ty, $lanes:literal, $splat:ident, $load:ident, $store:ident, $add_product:ident, $interleave:ident) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name($register);

        impl Vector for $name {
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn splat(x: f32) -> Self {
                // SAFETY: the caller has the instructions.
                Self(unsafe { std::arch::x86_64::$splat(x) })
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: the caller has the instructions, and LANES floats lie at from.
                Self(unsafe { std::arch::x86_64::$load(from) })
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: the caller has the instructions, and LANES floats may be written at to.
                unsafe { std::arch::x86_64::$store(to, self.0) }
            }

            #[inline(always)]
            unsafe fn add_product(self, a: Self, b: Self) -> Self {
                // SAFETY: the caller has the instructions.
                Self(unsafe { std::arch::x86_64::$add_product(a.0, b.0, self.0) })
            }

            #[inline(always)]
            unsafe fn interleave(self, other: Self) -> [Self; 2] {
                // SAFETY: the caller has the instructions.
                unsafe { $interleave(self.0, other.0).map(Self) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
x86_vector!(Avx512, std::arch::x86_64::__m512, 16, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps, interleave_16);
#[cfg(target_arch = "x86_64")]
x86_vector!(Avx2, std::arch::x86_64::__m256, 8, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps, interleave_8);

/// # Safety
/// Needs AVX-512.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn interleave_16(a: std::arch::x86_64::__m512, b: std::arch::x86_64::__m512) -> [std::arch::x86_64::__m512; 2] {
    use std::arch::x86_64::{_mm512_permutex2var_ps, _mm512_setr_epi32};
    // SAFETY: the caller has the instructions. Indices from 16 on mean b.
    unsafe {
        let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let second = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        [_mm512_permutex2var_ps(a, first, b), _mm512_permutex2var_ps(a, second, b)]
    }
}

/// # Safety
/// Needs AVX2.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn interleave_8(a: std::arch::x86_64::__m256, b: std::arch::x86_64::__m256) -> [std::arch::x86_64::__m256; 2] {
    use std::arch::x86_64::{_mm256_permute2f128_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps};
    // SAFETY: the caller has the instructions. Unpacking works within 128 bits, so the halves are swapped after it.
    unsafe {
        let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        [_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high)]
    }
}

/// For whatever the build targets. The multiply-add rounds once here too: in hardware where the target has it (every 64-bit
/// ARM), else in software, slowly but with the same bits.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; 8]);

impl Vector for Portable {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; 8])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: 8 floats lie at from.
        Self(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: 8 floats may be written at to.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(
            #[inline(always)]
            |lane| a.0[lane].mul_add(b.0[lane], self.0[lane]),
        ))
    }

    #[inline(always)]
    unsafe fn interleave(self, other: Self) -> [Self; 2] {
        let lane = |index: usize| if index.is_multiple_of(2) { self.0[index / 2] } else { other.0[index / 2] };
        [Self(std::array::from_fn(lane)), Self(std::array::from_fn(|index| lane(index + 8)))]
    }
}
