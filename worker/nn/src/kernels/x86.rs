//! AVX-512, its dot product of bf16, and AVX2 with FMA.

use std::arch::x86_64::*;

use super::block::Block;
use super::lanes::{HALF, LANES, Lanes};
use super::simd::Simd;
use super::square::transpose_rows;

/// The halves of a vector of AVX2.
type Halves = [__m256; 2];
/// The halves of a vector of words of AVX2.
type WordHalves = [__m256i; 2];

/// AVX-512: a vector is one register.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

/// AVX2: a vector is two registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx512 {
    /// # Safety
    /// The processor has avx512f, avx512vl, avx512dq, avx512bw, avx2 and fma.
    pub(super) unsafe fn detected() -> Self {
        Self(())
    }
}

/// The dot product of pairs of bf16 of AVX-512.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dot(Avx512);

impl Dot {
    /// # Safety
    /// The processor has avx512bf16 and the instructions of [`Avx512`].
    pub(super) unsafe fn detected() -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { Avx512::detected() })
    }
}

impl Avx2 {
    /// # Safety
    /// The processor has avx2 and fma.
    pub(super) unsafe fn detected() -> Self {
        Self(())
    }
}

/// Methods of [`Simd`] that are one instruction of AVX-512.
macro_rules! one_register {
    ($($method:ident($($x:ident: $of:ty),*) -> $to:ty = $intrinsic:ident;)*) => {
        $(#[inline(always)]
        fn $method(self, $($x: $of),*) -> $to {
            // SAFETY: the value exists, so the instructions were detected.
            unsafe { $intrinsic($($x),*) }
        })*
    };
}

/// Methods of [`Simd`] that are one instruction of AVX2 per half.
macro_rules! two_registers {
    ($($method:ident($($x:ident: $of:ty),*) -> $to:ty = $intrinsic:ident;)*) => {
        $(#[inline(always)]
        fn $method(self, $($x: $of),*) -> $to {
            // SAFETY: the value exists, so the instructions were detected.
            unsafe { [$intrinsic($($x[0]),*), $intrinsic($($x[1]),*)] }
        })*
    };
}

impl Simd for Avx512 {
    type F = __m512;
    type Half = __m256;
    type U = __m512i;
    type Mask = __mmask16;
    const DIVIDES_SLOWLY: bool = true;

    one_register! {
        splat(x: f32) -> __m512 = _mm512_set1_ps;
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps;
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps;
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps;
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps;
        mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps;
        neg_mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fnmadd_ps;
        sqrt(x: __m512) -> __m512 = _mm512_sqrt_ps;
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps;
        min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps;
        bits(x: __m512) -> __m512i = _mm512_castps_si512;
        floats(x: __m512i) -> __m512 = _mm512_castsi512_ps;
        add_words(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32;
        sub_words(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi32;
        xor(a: __m512i, b: __m512i) -> __m512i = _mm512_xor_si512;
        splat_half(x: f32) -> __m256 = _mm256_set1_ps;
        mul_add_half(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps;
        widen(half: __m256) -> __m512 = _mm512_zextps256_ps512;
    }

    #[inline(always)]
    fn load_half(self, from: &[f32; HALF]) -> __m256 {
        // SAFETY: the value exists, so the instructions were detected; 8 floats lie at from.
        unsafe { _mm256_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // SAFETY: a prefetch of any address is allowed, and every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> __m512 {
        // SAFETY: the value exists, so the instructions were detected; 16 floats lie at from.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, x: __m512, to: &mut Lanes) {
        // SAFETY: as in load.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn less(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: the value exists, so the instructions were detected.
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
    }

    #[inline(always)]
    fn equal(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: as in less.
        unsafe { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b) }
    }

    #[inline(always)]
    fn select(self, mask: __mmask16, yes: __m512, no: __m512) -> __m512 {
        // SAFETY: as in less.
        unsafe { _mm512_mask_blend_ps(mask, no, yes) }
    }

    #[inline(always)]
    fn interleave_quarters(self, a: __m512, b: __m512) -> [__m512; 2] {
        // SAFETY: as in less.
        unsafe { [_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)] }
    }

    #[inline(always)]
    fn deal_quarters(self, a: __m512, b: __m512) -> [__m512; 2] {
        // SAFETY: as in less.
        unsafe { [_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b)] }
    }

    #[inline(always)]
    fn transpose<'a>(self, from: impl Fn(usize) -> &'a Lanes, to: [&mut Lanes; LANES]) {
        transpose_rows(self, from, to);
    }

    #[inline(always)]
    fn splat_word(self, x: u32) -> __m512i {
        // SAFETY: as in less.
        unsafe { _mm512_set1_epi32(x.cast_signed()) }
    }

    #[inline(always)]
    fn load_words(self, from: &[u32; LANES]) -> __m512i {
        // SAFETY: as in load.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn shift_left(self, x: __m512i, by: u32) -> __m512i {
        // SAFETY: as in less.
        unsafe { _mm512_sllv_epi32(x, self.splat_word(by)) }
    }

    #[inline(always)]
    fn shift_right(self, x: __m512i, by: u32) -> __m512i {
        // SAFETY: as in less.
        unsafe { _mm512_srlv_epi32(x, self.splat_word(by)) }
    }
}

impl Block for Dot {
    type Words = __m512i;
    type Sums = __m512;

    #[inline(always)]
    fn zero(self) -> __m512 {
        self.0.splat(0.0)
    }

    #[inline(always)]
    unsafe fn broadcast(self, from: *const f32) -> __m512i {
        // SAFETY: the caller's promise.
        self.0.splat_word(unsafe { *from.cast::<u32>() })
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512i {
        // SAFETY: the caller's promise.
        self.0.load_words(unsafe { &*from.cast::<[u32; LANES]>() })
    }

    #[inline(always)]
    fn mul_add(self, a: __m512i, b: __m512i, c: __m512) -> __m512 {
        // SAFETY: the value exists, so the instructions were detected. A __m512bh is 32 bf16 in as
        // many bits.
        unsafe {
            _mm512_dpbf16_ps(
                c,
                std::mem::transmute::<__m512i, __m512bh>(a),
                std::mem::transmute::<__m512i, __m512bh>(b),
            )
        }
    }

    #[inline(always)]
    unsafe fn store(self, sums: __m512, to: *mut f32) {
        // SAFETY: the caller's promise.
        self.0.store(sums, unsafe { &mut *to.cast::<Lanes>() });
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        self.0.prefetch(at);
    }
}

impl Simd for Avx2 {
    type F = Halves;
    type Half = __m256;
    type U = WordHalves;
    type Mask = Halves;
    const DIVIDES_SLOWLY: bool = false;

    two_registers! {
        add(a: Halves, b: Halves) -> Halves = _mm256_add_ps;
        sub(a: Halves, b: Halves) -> Halves = _mm256_sub_ps;
        mul(a: Halves, b: Halves) -> Halves = _mm256_mul_ps;
        div(a: Halves, b: Halves) -> Halves = _mm256_div_ps;
        mul_add(a: Halves, b: Halves, c: Halves) -> Halves = _mm256_fmadd_ps;
        neg_mul_add(a: Halves, b: Halves, c: Halves) -> Halves = _mm256_fnmadd_ps;
        sqrt(x: Halves) -> Halves = _mm256_sqrt_ps;
        max(a: Halves, b: Halves) -> Halves = _mm256_max_ps;
        min(a: Halves, b: Halves) -> Halves = _mm256_min_ps;
        less(a: Halves, b: Halves) -> Halves = less_of_8;
        equal(a: Halves, b: Halves) -> Halves = equal_of_8;
        select(mask: Halves, yes: Halves, no: Halves) -> Halves = select_of_8;
        bits(x: Halves) -> WordHalves = _mm256_castps_si256;
        floats(x: WordHalves) -> Halves = _mm256_castsi256_ps;
        add_words(a: WordHalves, b: WordHalves) -> WordHalves = _mm256_add_epi32;
        sub_words(a: WordHalves, b: WordHalves) -> WordHalves = _mm256_sub_epi32;
        xor(a: WordHalves, b: WordHalves) -> WordHalves = _mm256_xor_si256;
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Halves {
        // SAFETY: the value exists, so the instructions were detected.
        unsafe { [_mm256_set1_ps(x); 2] }
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // SAFETY: a prefetch of any address is allowed, and every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> Halves {
        // SAFETY: as in splat; 16 floats lie at from.
        unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))] }
    }

    #[inline(always)]
    fn store(self, x: Halves, to: &mut Lanes) {
        // SAFETY: as in load.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), x[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), x[1]);
        }
    }

    #[inline(always)]
    fn splat_half(self, x: f32) -> __m256 {
        // SAFETY: as in splat.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    fn load_half(self, from: &[f32; HALF]) -> __m256 {
        // SAFETY: as in load.
        unsafe { _mm256_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn mul_add_half(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: as in splat.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn widen(self, half: __m256) -> Halves {
        [half, self.splat_half(0.0)]
    }

    #[inline(always)]
    fn interleave_quarters(self, a: Halves, b: Halves) -> [Halves; 2] {
        // SAFETY: as in splat.
        unsafe {
            [
                [_mm256_unpacklo_ps(a[0], b[0]), _mm256_unpacklo_ps(a[1], b[1])],
                [_mm256_unpackhi_ps(a[0], b[0]), _mm256_unpackhi_ps(a[1], b[1])],
            ]
        }
    }

    #[inline(always)]
    fn deal_quarters(self, a: Halves, b: Halves) -> [Halves; 2] {
        // SAFETY: as in splat.
        unsafe {
            [
                [
                    _mm256_permute2f128_ps::<0x20>(a[0], a[1]),
                    _mm256_permute2f128_ps::<0x20>(b[0], b[1]),
                ],
                [
                    _mm256_permute2f128_ps::<0x31>(a[0], a[1]),
                    _mm256_permute2f128_ps::<0x31>(b[0], b[1]),
                ],
            ]
        }
    }

    /// One quarter of the square at a time: the registers hold half a square (commit 2ec6e14).
    #[inline(always)]
    fn transpose<'a>(self, from: impl Fn(usize) -> &'a Lanes, mut to: [&mut Lanes; LANES]) {
        for top in [0, 8] {
            for left in [0, 4, 8, 12] {
                // Written out: a function that an array's constructor calls may stay a call,
                // compiled without AVX2. SAFETY: as in splat.
                let columns = unsafe {
                    columns_of_8([
                        four_of_rows([from(top), from(top + 4)], left),
                        four_of_rows([from(top + 1), from(top + 5)], left),
                        four_of_rows([from(top + 2), from(top + 6)], left),
                        four_of_rows([from(top + 3), from(top + 7)], left),
                    ])
                };
                for (column, to) in columns.into_iter().zip(&mut to[left..]) {
                    // SAFETY: as in splat; eight floats lie at `top`.
                    unsafe { _mm256_storeu_ps(to[top..top + 8].as_mut_ptr(), column) };
                }
            }
        }
    }

    #[inline(always)]
    fn splat_word(self, x: u32) -> WordHalves {
        // SAFETY: as in splat.
        unsafe { [_mm256_set1_epi32(x.cast_signed()); 2] }
    }

    #[inline(always)]
    fn load_words(self, from: &[u32; LANES]) -> WordHalves {
        // SAFETY: as in load.
        unsafe {
            [
                _mm256_loadu_si256(from.as_ptr().cast()),
                _mm256_loadu_si256(from.as_ptr().add(8).cast()),
            ]
        }
    }

    #[inline(always)]
    fn shift_left(self, x: WordHalves, by: u32) -> WordHalves {
        let [by, _] = self.splat_word(by);
        // SAFETY: as in splat.
        unsafe { [_mm256_sllv_epi32(x[0], by), _mm256_sllv_epi32(x[1], by)] }
    }

    #[inline(always)]
    fn shift_right(self, x: WordHalves, by: u32) -> WordHalves {
        let [by, _] = self.splat_word(by);
        // SAFETY: as in splat.
        unsafe { [_mm256_srlv_epi32(x[0], by), _mm256_srlv_epi32(x[1], by)] }
    }
}

/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn less_of_8(a: __m256, b: __m256) -> __m256 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_cmp_ps::<_CMP_LT_OQ>(a, b) }
}

/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn equal_of_8(a: __m256, b: __m256) -> __m256 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b) }
}

/// Not a blend: the compiler turns a blend with memory that is stored back into a masked store,
/// which is microcode on AMD (commit 669b743).
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn select_of_8(mask: __m256, yes: __m256, no: __m256) -> __m256 {
    // SAFETY: the caller has the instructions.
    unsafe { _mm256_or_ps(_mm256_and_ps(mask, yes), _mm256_andnot_ps(mask, no)) }
}

/// Four floats of each of two rows, starting at column `left`.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn four_of_rows([low, high]: [&Lanes; 2], left: usize) -> __m256 {
    let (low, high) = (low[left..left + 4].as_ptr(), high[left..left + 4].as_ptr());
    // SAFETY: four floats lie at each place, and the caller has the instructions.
    unsafe {
        _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high))
    }
}

/// Four columns of eight rows, from four vectors: vector i holds four columns of row i and of row
/// i + 4.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn columns_of_8([a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
    // SAFETY: the caller has the instructions.
    unsafe {
        let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
        let (ab_high, cd_high) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
        [
            _mm256_shuffle_ps::<0x44>(ab, cd),
            _mm256_shuffle_ps::<0xee>(ab, cd),
            _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
            _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
        ]
    }
}
