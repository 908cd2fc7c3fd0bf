//! Elementary functions of vectors, with the same bits on every machine.
//!
//! They consist of operations that IEEE 754 defines exactly, each rounded once, in a fixed order.
//! NaN stays NaN. "A unit" is a unit in the last place of an f32.

use crate::kernels::Simd;

/// e^x, with an error of at most 2 units. The argument is clamped to [-87, 88].
///
/// With n = round(x / ln 2) and r = x - n ln 2, e^x = 2^n e^r. A polynomial of degree 7
/// approximates e^r (expf of Moshier's Cephes library).
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    let [p, power_of_two] = exp_parts(s, x);
    s.mul(s.add(p, s.splat(1.0)), power_of_two)
}

/// e^x - 1, with an error of at most 2 units: near 0 too, where the difference of e^x and 1 has no
/// correct digit. The argument is clamped to [-87, 88].
///
/// With the parts of [`exp`], e^x - 1 = 2^n (e^r - 1) + (2^n - 1).
#[inline(always)]
pub(crate) fn exp_minus_one<S: Simd>(s: S, x: S::F) -> S::F {
    let [p, power_of_two] = exp_parts(s, x);
    s.mul_add(p, power_of_two, s.sub(power_of_two, s.splat(1.0)))
}

/// The parts e^r - 1 and 2^n of [`exp`].
#[inline(always)]
fn exp_parts<S: Simd>(s: S, x: S::F) -> [S::F; 2] {
    let x = s.min(s.splat(88.0), s.max(s.splat(-87.0), x));
    // Adding 1.5 x 2^23 rounds to an integer and leaves that integer in the low bits.
    let magic = s.splat(12_582_912.0);
    let shifted = s.mul_add(x, s.splat(std::f32::consts::LOG2_E), magic);
    let n = s.sub(shifted, magic);
    // ln 2 in two parts. The first has few bits, so its product with n is exact.
    let r = s.neg_mul_add(n, s.splat(0.693_359_4), x);
    let r = s.mul_add(n, s.splat(2.121_944_4e-4), r);
    let p = polynomial(
        s,
        r,
        &[1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5],
    );
    let power_of_two = s.add_words(s.shift_left(s.bits(shifted), 23), s.splat_word(0x3f80_0000));
    [s.mul_add(p, s.mul(r, r), r), s.floats(power_of_two)]
}

/// tanh x, with an error of at most 3 units: Cephes' polynomial for |x| < 0.625, else
/// 1 - 2 / (e^2x + 1).
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let square = s.mul(x, x);
    let p = polynomial(
        s,
        square,
        &[-5.704_988_7e-3, 2.063_909e-2, -5.373_971_5e-2, 1.333_144_2e-1, -3.333_328_3e-1],
    );
    let near = s.mul_add(s.mul(p, square), x, x);
    let size = s.max(x, s.sub(s.splat(0.0), x));
    // Beyond 10 the result is 1, and e^2x could overflow.
    let power = exp(s, s.mul(s.splat(2.0), s.min(s.splat(10.0), size)));
    let far = s.sub(s.splat(1.0), s.div(s.splat(2.0), s.add(power, s.splat(1.0))));
    let far = s.select(s.less(x, s.splat(0.0)), s.sub(s.splat(0.0), far), far);
    s.select(s.less(size, s.splat(0.625)), near, far)
}

/// cos(2 pi w x + b) and sin(2 pi w x + b), with an absolute error of at most 1e-6 while w x stays
/// below 2^22 turns and b below a thousand radians. Beyond, they are somewhere in [-1, 1].
///
/// The whole turns of w x are subtracted exactly, then those of the sum. The rest is within an
/// eighth turn of one of four angles (polynomials of sinf and cosf of Moshier's Cephes library).
#[inline(always)]
pub(crate) fn wave<S: Simd>(s: S, x: S::F, w: S::F, b: S::F) -> [S::F; 2] {
    let magic = s.splat(12_582_912.0);
    let whole = s.sub(s.mul_add(w, x, magic), magic);
    let turns = s.mul_add(w, x, s.sub(s.splat(0.0), whole));
    let turns = s.mul_add(b, s.splat(1.0 / std::f32::consts::TAU), turns);
    let rest = s.sub(turns, s.sub(s.add(turns, magic), magic));
    let rest = s.min(s.splat(0.5), s.max(s.splat(-0.5), rest));
    let quarter = s.sub(s.mul_add(rest, s.splat(4.0), magic), magic);
    let near = s.mul(s.neg_mul_add(quarter, s.splat(0.25), rest), s.splat(std::f32::consts::TAU));
    let square = s.mul(near, near);
    let p = polynomial(s, square, &[-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1]);
    let sine = s.mul_add(s.mul(p, square), near, near);
    let p = polynomial(s, square, &[2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2]);
    let half = s.neg_mul_add(s.splat(0.5), square, s.splat(1.0));
    let cosine = s.mul_add(s.mul(p, square), square, half);
    // The angle is `quarter` quarter turns, from -2 to 2, and `near`.
    let size = s.max(quarter, s.sub(s.splat(0.0), quarter));
    let is_odd = s.equal(size, s.splat(1.0));
    let (c, d) = (s.select(is_odd, sine, cosine), s.select(is_odd, cosine, sine));
    let is_back = s.equal(size, s.splat(2.0));
    let zero = s.splat(0.0);
    let c = s.select(is_back, s.sub(zero, c), c);
    let c = s.select(s.equal(quarter, s.splat(1.0)), s.sub(zero, c), c);
    let d = s.select(is_back, s.sub(zero, d), d);
    let d = s.select(s.equal(quarter, s.splat(-1.0)), s.sub(zero, d), d);
    [c, d]
}

/// The logistic function 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let power = exp(s, s.sub(s.splat(0.0), x));
    s.div(s.splat(1.0), s.add(power, s.splat(1.0)))
}

/// The error function, with an absolute error of at most 5e-7: x times a ratio of polynomials in
/// x^2, fitted on [-4, 4] (coefficients of the library Eigen).
#[inline(always)]
pub(crate) fn erf<S: Simd>(s: S, x: S::F) -> S::F {
    let x = s.max(s.splat(-4.0), s.min(s.splat(4.0), x));
    let square = s.mul(x, x);
    let above = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    let below = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2];
    s.div(s.mul(x, polynomial(s, square, &above)), polynomial(s, square, &below))
}

/// The smallest argument of [`sqrt`]. From here on, the remainder x - root^2 of the approximate
/// root is exactly a float, possibly one below the normal floats.
pub(crate) const LEAST_SQUARE: f32 = 1e-30;

/// The square root of x >= [`LEAST_SQUARE`], correctly rounded, for use in a quotient.
///
/// Families with [`Simd::DIVIDES_SLOWLY`] compute it without the divider, which the quotient needs
/// too. With AVX2, Adam is 1.2 to 1.5 times as fast with the divider (docs/internals/kernels.md).
#[inline(always)]
pub(crate) fn sqrt<S: Simd>(s: S, x: S::F) -> S::F {
    if S::DIVIDES_SLOWLY { sqrt_by_multiplying(s, x) } else { s.sqrt(x) }
}

/// [`sqrt`] without the divider.
///
/// The bits of x give y, near 1 / sqrt(x), with e = 1 - x y^2 below 0.07 in size. Then sqrt(x) =
/// x y (1 - e)^(-1/2), which a minimax polynomial in e approximates. The remainder x - root^2 is
/// exact, and corrects the last place (Markstein 1990).
#[inline(always)]
fn sqrt_by_multiplying<S: Simd>(s: S, x: S::F) -> S::F {
    let half = s.shift_right(s.bits(x), 1);
    let y = s.floats(s.sub_words(s.splat_word(0x5f37_5000), half));
    let half_y = s.floats(s.sub_words(s.splat_word(0x5eb7_5000), half));
    let root = s.mul(x, y);
    let e = s.neg_mul_add(root, y, s.splat(1.0));
    let more = s.mul(e, polynomial(s, e, &[0.274_555_56, 0.313_936_4, 0.374_998_9, 0.499_998_33]));
    let (root, half_inverse) = (s.mul_add(root, more, root), s.mul_add(half_y, more, half_y));
    let rest = s.neg_mul_add(root, root, x);
    // For infinity the formula gives NaN, so x itself is the root. The same is right for NaN.
    s.select(s.less(x, s.splat(f32::INFINITY)), s.mul_add(rest, half_inverse, root), x)
}

/// A polynomial by Horner's rule, highest coefficient first.
#[inline(always)]
fn polynomial<S: Simd>(s: S, x: S::F, coefficients: &[f32]) -> S::F {
    let mut value = s.splat(0.0);
    for (index, &coefficient) in coefficients.iter().enumerate() {
        value = if index == 0 {
            s.splat(coefficient)
        } else {
            s.mul_add(value, x, s.splat(coefficient))
        };
    }
    value
}

/// base^exponent by squaring: the same bits on every machine, and faster than a general power.
pub(crate) fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut product = 1.0;
    while exponent > 0 {
        // The result is subtracted from 1, where anything below 1e-20 changes nothing.
        if base < 1e-20 {
            return 0.0;
        }
        if exponent % 2 == 1 {
            product *= base;
        }
        base *= base;
        exponent /= 2;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Family, LANES, Lanes, Pass};

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Function {
        Exp,
        ExpMinusOne,
        Tanh,
        Sigmoid,
        Erf,
    }

    struct Apply(Function, [f32; LANES]);

    impl Pass for Apply {
        type Output = [f32; LANES];

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> [f32; LANES] {
            let x = s.load(&self.1);
            let y = match self.0 {
                Function::Exp => exp(s, x),
                Function::ExpMinusOne => exp_minus_one(s, x),
                Function::Tanh => tanh(s, x),
                Function::Sigmoid => sigmoid(s, x),
                Function::Erf => erf(s, x),
            };
            let mut out = [0.0; LANES];
            s.store(y, &mut out);
            out
        }
    }

    /// The function's value, which must have the same bits on every family.
    fn apply(function: Function, x: f32) -> f32 {
        let mut values =
            Family::available().into_iter().map(|family| family.run(Apply(function, [x; LANES])));
        let first = values.next().unwrap();
        assert!(
            values.all(|other| other.map(f32::to_bits) == first.map(f32::to_bits))
                || first[0].is_nan(),
            "{function:?} {x}"
        );
        first[3]
    }

    /// The largest error on [from, to]: of each value the smaller of its absolute and relative
    /// error.
    fn worst(function: Function, exact: fn(f64) -> f64, from: f32, to: f32) -> f64 {
        let mut worst = 0.0f64;
        for step in 0..=20_000u16 {
            let x = from + f32::from(step) / 20_000.0 * (to - from);
            let (got, want) = (f64::from(apply(function, x)), exact(f64::from(x)));
            let error = (got - want).abs().min(((got - want) / want).abs());
            // Written so that NaN counts as an error.
            worst = if error <= worst { worst } else { error };
        }
        worst
    }

    #[test]
    fn elementary_functions_are_exact_to_a_few_units() {
        let exact_sigmoid = |x: f64| 1.0 / (1.0 + libm::exp(-x));
        let check = |function, exact: fn(f64) -> f64, range: f32, limit| {
            let error = worst(function, exact, -range, range);
            assert!(error < limit, "{function:?}: error {error}");
        };
        check(Function::Exp, libm::exp, 86.0, 2.5e-7);
        check(Function::ExpMinusOne, libm::expm1, 86.0, 2.5e-7);
        check(Function::Tanh, libm::tanh, 12.0, 2.5e-7);
        check(Function::Erf, libm::erf, 6.0, 5e-7);
        check(Function::Sigmoid, exact_sigmoid, 30.0, 2.5e-7);
    }

    /// The cosine and the sine of [`wave`].
    struct Wave([f32; 3]);

    impl Pass for Wave {
        type Output = [Lanes; 2];

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> [Lanes; 2] {
            let [x, w, b] = self.0;
            let [cosine, sine] = wave(s, s.splat(x), s.splat(w), s.splat(b));
            let mut lanes = [[0.0; LANES]; 2];
            s.store(cosine, &mut lanes[0]);
            s.store(sine, &mut lanes[1]);
            lanes
        }
    }

    #[test]
    fn waves_have_the_cosine_and_the_sine_of_their_angle() {
        let families = Family::available();
        for step in 0..40_000u16 {
            let x = (f32::from(step) - 20_000.0) * 0.000_37;
            for (w, b) in [(1.0, 0.0), (-3.3, 2.0), (97.5, -3.1), (2_345.25, 40.0)] {
                let of = |family: Family| family.run(Wave([x, w, b]));
                let [cosine, sine] = of(families[0]);
                let turns = f64::from(x) * f64::from(w);
                let angle = std::f64::consts::TAU * (turns - turns.round()) + f64::from(b);
                let error = |got: f32, want: f64| (f64::from(got) - want).abs();
                let limit = 1e-6 * (1.0 + 0.1 * f64::from(b.abs()));
                assert!(error(cosine[3], libm::cos(angle)) < limit, "{x} {w} {b}");
                assert!(error(sine[3], libm::sin(angle)) < limit, "{x} {w} {b}");
            }
        }
        for arguments in [[0.3, 2.0, 1.0], [-5.0, 1e30, 2.0], [1e6, 77.0, -3.0]] {
            let of = |family: &Family| family.run(Wave(arguments));
            let first = of(&families[0]);
            assert!(first.as_flattened().iter().all(|value| value.abs() <= 1.0), "{first:?}");
            assert!(families.iter().all(|family| of(family) == first), "{arguments:?}");
        }
        let not_a_number = families[0].run(Wave([f32::NAN, 1.0, 0.0]));
        assert!(not_a_number.as_flattened().iter().all(|value| value.is_nan()));
    }

    #[test]
    fn e_to_the_x_minus_one_has_all_digits_near_zero() {
        for size in [1e-30f32, 1e-8, 1e-4, 0.01, 0.3, 0.4, 1.0] {
            for x in [size, -size] {
                let (got, want) =
                    (f64::from(apply(Function::ExpMinusOne, x)), libm::expm1(f64::from(x)));
                assert!(((got - want) / want).abs() < 2.5e-7, "{x}: {got} but {want}");
            }
        }
        assert_eq!(apply(Function::ExpMinusOne, 0.0), 0.0);
    }

    /// The roots of sixteen floats, by the processor and by multiplying.
    struct Roots(Lanes);

    impl Pass for Roots {
        type Output = [Lanes; 2];

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> [Lanes; 2] {
            let x = s.load(&self.0);
            [s.sqrt(x), sqrt_by_multiplying(s, x)].map(|root| {
                let mut lanes = [0.0; LANES];
                s.store(root, &mut lanes);
                lanes
            })
        }
    }

    /// Checks sixteen of every 16 `step` floats from `first` on, over two binades. Other exponents
    /// only scale these roots.
    fn check_roots(family: Family, first: f32, step: usize) {
        for index in (0..1u32 << 24).step_by(LANES * step) {
            let x = each_lane(|lane| f32::from_bits(first.to_bits() + index + lane));
            let [exact, by_multiplying] = family.run(Roots(x));
            assert_eq!(by_multiplying, exact, "{x:?} with {}", family.name());
            assert_eq!(exact, x.map(f32::sqrt), "{x:?} with {}", family.name());
        }
    }

    fn each_lane(value: impl Fn(u32) -> f32) -> Lanes {
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].map(value)
    }

    #[test]
    fn roots_are_rounded_correctly() {
        check_roots(Family::available()[0], 1.0, 1);
        for family in Family::available() {
            for first in [LEAST_SQUARE, 1e-20, 1.0, 1e20, 0.2 * f32::MAX] {
                check_roots(family, first, 1009);
            }
            assert_eq!(family.run(Roots([f32::INFINITY; LANES])), [[f32::INFINITY; LANES]; 2]);
            assert!(
                family
                    .run(Roots([f32::NAN; LANES]))
                    .as_flattened()
                    .iter()
                    .all(|root| root.is_nan()),
                "{}",
                family.name()
            );
        }
    }

    #[test]
    fn functions_are_finite_at_infinity_and_keep_nan() {
        for function in
            [Function::Exp, Function::ExpMinusOne, Function::Tanh, Function::Sigmoid, Function::Erf]
        {
            assert!(apply(function, f32::NAN).is_nan(), "{function:?}");
            assert!(
                apply(function, f32::INFINITY).is_finite()
                    && apply(function, f32::NEG_INFINITY).is_finite(),
                "{function:?}"
            );
        }
        assert_eq!((apply(Function::Tanh, 50.0), apply(Function::Tanh, -50.0)), (1.0, -1.0));
        assert_eq!((apply(Function::Sigmoid, 50.0), apply(Function::Exp, 0.0)), (1.0, 1.0));
    }
}
