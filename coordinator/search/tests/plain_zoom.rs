//! A second, plain implementation of zoom: dense algebra, and nothing kept between asks. The
//! sampler must suggest the same trials for the same reasons.
#![allow(
    clippy::needless_range_loop,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test"
)]

use caviar_common::assignment::{Assignment, Value};
use caviar_common::reason::{Extent, Source};
use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_common::space::{Domain, Space};
use caviar_common::spec::file::parse;
use caviar_common::spec::{Strategy, SweepSpec};
use caviar_search::{
    History, Observation, Question, SamplerReply, Stage, Suggestion, build, results,
};

type Point = Vec<f64>;

fn spec() -> SweepSpec {
    let text = r#"
        name = "t"
        seed = 11
        [data]
        source = "builtin:digits"
        [space]
        learning_rate = { low = 1e-4, high = 1 }
        momentum = { low = 0.9, high = 0.999 }
        layers = { low = 1, high = 4 }
        activation = { choices = ["relu", "tanh", "gelu"] }
        units_3 = { low = 16, high = 64 }
        dropout = { low = 0.0, high = 0.6 }
        [search]
        strategy = "random"
        trials = 300
        parallelism = 8
        "#;
    parse(text).unwrap().spec
}

/// A function to minimise, rough enough that the box shrinks and grows.
fn cost(space: &Space, assignment: &Assignment) -> f64 {
    let u = space.encode(assignment);
    let bowl: f64 =
        u.iter().enumerate().map(|(j, u)| (1.0 + j as f64) * (u - 0.3) * (u - 0.3)).sum();
    0.2 + bowl + 0.05 * libm::sin(40.0 * u[0])
}

fn zoom(spec: &SweepSpec, trial: u32, history: &History, pending: &[u32]) -> Suggestion {
    let mut spec = spec.clone();
    spec.search.strategy = Strategy::Zoom;
    match build(&spec, &[]).ask(&Question { trial, history, pending }) {
        SamplerReply::Suggest(suggestion) => suggestion,
        other => panic!("{other:?}"),
    }
}

/// The history of a sweep. Some trials fail. With rungs, some are stopped at the first one, and the
/// others pass two.
fn record(spec: &SweepSpec, trials: u32, rungs: bool) -> History {
    let mut history = History::new(spec.space.clone());
    for trial in 0..trials {
        let assignment = zoom(spec, trial, &history, &[]).assignment;
        let last = cost(&spec.space, &assignment);
        history.push_trial(&assignment).unwrap();
        let mut enter = |stage, cost| history.push(Observation { trial, stage, cost }).unwrap();
        if trial % 13 == 9 {
            enter(Stage::Ended, None);
        } else if rungs && trial % 3 == 2 {
            enter(Stage::Stopped(0), Some(last + 0.3));
        } else {
            if rungs {
                enter(Stage::Passed(0), Some(last + 0.25 + 0.01 * f64::from(trial % 5)));
                enter(Stage::Passed(1), Some(last + 0.1));
            }
            enter(Stage::Ended, Some(last));
        }
    }
    history
}

/// All trials of a history, and the first entries of its log.
fn prefix(history: &History, entries: usize) -> History {
    let mut part = History::new(history.space().clone());
    for trial in 0..history.trials() {
        part.push_trial(&history.assignment(trial).unwrap()).unwrap();
    }
    history.entries().take(entries).for_each(|entry| part.push(entry).unwrap());
    part
}

struct Plain<'a> {
    spec: &'a SweepSpec,
    log: &'a History,
    categorical: Vec<bool>,
}

struct Theta {
    scales: Vec<f64>,
    noise: f64,
}

impl Plain<'_> {
    fn dimensions(&self) -> usize {
        self.categorical.len()
    }

    fn squares(&self, a: &[f64], b: &[f64]) -> Vec<f64> {
        let apart = |j: usize| {
            if self.categorical[j] { f64::from(u8::from(a[j] != b[j])) } else { a[j] - b[j] }
        };
        (0..a.len()).map(|j| apart(j) * apart(j)).collect()
    }

    fn scaled(&self, a: &[f64], b: &[f64], scales: &[f64]) -> f64 {
        self.squares(a, b).iter().zip(scales).map(|(s, l)| s / (l * l)).sum::<f64>().sqrt()
    }

    fn kernel(&self, a: &[f64], b: &[f64], theta: &Theta) -> f64 {
        let r = 5f64.sqrt() * self.scaled(a, b, &theta.scales);
        (1.0 + r + r * r / 3.0) * libm::exp(-r)
    }

    /// The points and the costs of the trials in a log. A trial that failed has the worst cost.
    fn values(&self, log: &History) -> (Vec<Point>, Vec<f64>) {
        let results = results(log);
        let worst = results.iter().filter_map(|r| r.cost).fold(f64::NEG_INFINITY, f64::max);
        let costs = results.iter().map(|r| r.cost.unwrap_or(worst)).collect();
        let point = |trial| self.spec.space.encode(&log.assignment(trial).unwrap());
        (results.iter().map(|r| point(r.latest.trial)).collect(), costs)
    }

    /// The indices of the results that a model is made of.
    fn chosen(&self, points: &[Point], costs: &[f64], scales: &[f64]) -> Vec<usize> {
        if points.len() <= 80 {
            return (0..points.len()).collect();
        }
        let mut order: Vec<usize> = (0..points.len()).collect();
        order.sort_by(|a, b| costs[*a].total_cmp(&costs[*b]));
        let middle = order[0];
        let mut chosen = order[..40].to_vec();
        let mut rest: Vec<usize> = (0..points.len()).filter(|i| !chosen.contains(i)).collect();
        let distance = |i: &usize| self.scaled(&points[*i], &points[middle], scales);
        rest.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
        chosen.extend(&rest[..40]);
        chosen
    }

    fn standardised(&self, costs: &[f64], chosen: &[usize]) -> Vec<f64> {
        let mut sorted = costs.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (n, best) = (sorted.len(), sorted[0]);
        let median = f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]);
        let t: Vec<f64> =
            chosen.iter().map(|i| libm::log((costs[*i] - best) / (median - best) + 0.1)).collect();
        let mean = t.iter().sum::<f64>() / t.len() as f64;
        let deviation =
            (t.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / t.len() as f64).sqrt();
        t.iter().map(|v| (v - mean) / deviation).collect()
    }

    fn theta(&self) -> Theta {
        let mut milestone = 5;
        while (milestone + 1).max(milestone * 112 / 100) <= results(self.log).len() {
            milestone = (milestone + 1).max(milestone * 112 / 100);
        }
        let entries = (1..=self.log.len())
            .find(|entries| results(&prefix(self.log, *entries)).len() == milestone)
            .unwrap();
        let (points, costs) = self.values(&prefix(self.log, entries));
        let chosen = self.chosen(&points, &costs, &vec![1.0; self.dimensions()]);
        let y = self.standardised(&costs, &chosen);
        let points: Vec<&Point> = chosen.iter().map(|i| &points[*i]).collect();
        self.rprop(&points, &y)
    }

    fn rprop(&self, points: &[&Point], y: &[f64]) -> Theta {
        let d = self.dimensions();
        let centre = libm::log(0.5) + 0.5 * libm::log(d as f64 / 3.0);
        let mut x = vec![centre; d];
        x.push(-4.0);
        let (mut step, mut before) = (vec![0.2; d + 1], vec![0.0; d + 1]);
        let mut best = (f64::NEG_INFINITY, x.clone());
        for _ in 0..25 {
            let (value, gradient) = self.posterior(points, y, &x, centre);
            if value > best.0 {
                best = (value, x.clone());
            }
            for j in 0..=d {
                let sign = gradient[j] * before[j];
                if sign > 0.0 {
                    step[j] = f64::min(step[j] * 1.2, 0.6);
                }
                if sign < 0.0 {
                    step[j] = f64::max(step[j] * 0.5, 1e-3);
                    before[j] = 0.0;
                } else {
                    before[j] = gradient[j];
                    x[j] = (x[j] + gradient[j].signum() * step[j]).clamp(-12.0, 6.0);
                }
            }
        }
        let mut scales: Vec<f64> = best.1.iter().map(|v| libm::exp(*v)).collect();
        let noise = scales.pop().unwrap();
        Theta { scales, noise }
    }

    fn posterior(&self, points: &[&Point], y: &[f64], x: &[f64], centre: f64) -> (f64, Vec<f64>) {
        let (d, n) = (self.dimensions(), y.len());
        let theta = Theta {
            scales: x[..d].iter().map(|v| libm::exp(*v)).collect(),
            noise: libm::exp(x[d]),
        };
        let (inverse, log_det) = invert(&self.covariance(points, &theta));
        let alpha: Vec<f64> = inverse.iter().map(|row| product(row, y)).collect();
        let amplitude = product(y, &alpha) / n as f64;
        let mut value = -0.5 * n as f64 * libm::log(amplitude) - 0.5 * log_det;
        let mut gradient = vec![0.0; d + 1];
        for i in 0..n {
            for k in 0..n {
                let weight = 0.5 * (alpha[i] * alpha[k] / amplitude - inverse[i][k]);
                let r = 5f64.sqrt() * self.scaled(points[i], points[k], &theta.scales);
                for (j, square) in self.squares(points[i], points[k]).iter().enumerate() {
                    gradient[j] += weight * 5.0 / 3.0 * (1.0 + r) * libm::exp(-r) * square
                        / (theta.scales[j] * theta.scales[j]);
                }
            }
            gradient[d] += 0.5 * theta.noise * (alpha[i] * alpha[i] / amplitude - inverse[i][i]);
        }
        for j in 0..=d {
            let (mean, deviation) = if j < d { (centre, 1.0) } else { (-4.0, 1.5) };
            value -= 0.5 * ((x[j] - mean) / deviation) * ((x[j] - mean) / deviation);
            gradient[j] -= (x[j] - mean) / (deviation * deviation);
        }
        (value, gradient)
    }

    fn covariance(&self, points: &[&Point], theta: &Theta) -> Vec<Vec<f64>> {
        let row = |i: usize| {
            (0..points.len())
                .map(|k| {
                    self.kernel(points[i], points[k], theta)
                        + if i == k { theta.noise } else { 0.0 }
                })
                .collect()
        };
        (0..points.len()).map(row).collect()
    }

    /// The side of the box.
    fn side(&self) -> f64 {
        let over: Vec<Option<f64>> = self
            .log
            .entries()
            .filter(|o| !matches!(o.stage, Stage::Passed(_)))
            .map(|o| if o.stage == Stage::Ended { o.cost } else { None })
            .collect();
        let patience = 5.max(self.dimensions()) as f64
            * (f64::from(self.spec.search.parallelism.trials()) / 8.0).clamp(1.0, 4.0);
        let (mut side, mut good, mut bad) = (0.8, 0, 0.0);
        for i in 6..over.len() {
            let best = over[..i].iter().flatten().fold(f64::INFINITY, |a, b| a.min(*b));
            if over[i].is_some_and(|cost| cost < best - 1e-3 * best.abs()) {
                (good, bad) = (good + 1, 0.0);
            } else {
                (good, bad) = (0, bad + 1.0);
            }
            if good == 2 {
                (side, good) = (f64::min(2.0 * side, 1.6), 0);
            } else if bad >= patience {
                (side, bad) = (side / 2.0, 0.0);
                side = if side < 0.03 { 0.8 } else { side };
            }
        }
        side
    }
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The inverse and the logarithm of the determinant, by Gauss-Jordan elimination.
fn invert(matrix: &[Vec<f64>]) -> (Vec<Vec<f64>>, f64) {
    let n = matrix.len();
    let mut rows: Vec<Vec<f64>> = (0..n)
        .map(|i| {
            [matrix[i].clone(), (0..n).map(|k| f64::from(u8::from(i == k))).collect()].concat()
        })
        .collect();
    let mut log_det = 0.0;
    for i in 0..n {
        let pivot = rows[i][i];
        log_det += libm::log(pivot);
        rows[i].iter_mut().for_each(|v| *v /= pivot);
        let row = rows[i].clone();
        for (k, other) in rows.iter_mut().enumerate().filter(|(k, _)| *k != i) {
            let factor = other[i];
            other.iter_mut().zip(&row).for_each(|(v, r)| *v -= factor * r);
            let _ = k;
        }
    }
    (rows.into_iter().map(|row| row[n..].to_vec()).collect(), log_det)
}

/// Scores points, given the results and the assignments in flight.
struct Judge<'a> {
    plain: &'a Plain<'a>,
    theta: Theta,
    all: Vec<Point>,
    results: Vec<Point>,
    alpha: Vec<f64>,
    inverse: Vec<Vec<f64>>,
    amplitude: f64,
    least: f64,
}

impl<'a> Judge<'a> {
    fn new(plain: &'a Plain<'a>, theta: Theta, pending: &[u32]) -> Self {
        let (points, costs) = plain.values(plain.log);
        let chosen = plain.chosen(&points, &costs, &theta.scales);
        let y = plain.standardised(&costs, &chosen);
        let results: Vec<Point> = chosen.iter().map(|i| points[*i].clone()).collect();
        let (inverse, _) = invert(&plain.covariance(&results.iter().collect::<Vec<_>>(), &theta));
        let alpha: Vec<f64> = inverse.iter().map(|row| product(row, &y)).collect();
        let amplitude = product(&y, &alpha) / y.len() as f64;
        let mut all = results.clone();
        let in_flight = pending.iter().filter_map(|trial| plain.log.assignment(*trial));
        all.extend(in_flight.map(|a| plain.spec.space.encode(&a)));
        let (inverse, _) = invert(&plain.covariance(&all.iter().collect::<Vec<_>>(), &theta));
        let mut judge = Self { plain, theta, all, results, alpha, inverse, amplitude, least: 0.0 };
        judge.least = judge.all.iter().map(|point| judge.mean(point)).fold(f64::INFINITY, f64::min);
        judge
    }

    fn mean(&self, point: &[f64]) -> f64 {
        self.results
            .iter()
            .zip(&self.alpha)
            .map(|(p, a)| a * self.plain.kernel(p, point, &self.theta))
            .sum()
    }

    fn score(&self, point: &[f64]) -> f64 {
        let k: Vec<f64> =
            self.all.iter().map(|p| self.plain.kernel(p, point, &self.theta)).collect();
        let explained: f64 =
            self.inverse.iter().zip(&k).map(|(row, k_i)| k_i * product(row, &k)).sum();
        let s = (self.amplitude * (1.0 - explained).max(1e-12)).sqrt();
        let z = (self.least - self.mean(point)) / s;
        let density = libm::exp(-z * z / 2.0) / (2.0 * std::f64::consts::PI).sqrt();
        libm::log(s * (density + z * 0.5 * libm::erfc(-z / 2f64.sqrt())))
    }
}

fn sides(plain: &Plain<'_>, middle: &[f64], side: f64, scales: &[f64]) -> Vec<(f64, f64)> {
    let mean = libm::exp(scales.iter().map(|s| libm::log(*s)).sum::<f64>() / scales.len() as f64);
    let half = |j: usize| side / 2.0 * (scales[j] / mean).clamp(0.3, 3.0);
    let cut = |j: usize| {
        if plain.categorical[j] {
            (0.0, 1.0)
        } else {
            ((middle[j] - half(j)).max(0.0), (middle[j] + half(j)).min(1.0))
        }
    };
    (0..scales.len()).map(cut).collect()
}

/// The candidates, in the order in which the sampler draws them.
fn candidates(
    judge: &Judge<'_>,
    sides: &[(f64, f64)],
    top: &[Point],
    stream: &mut Stream,
) -> Vec<Point> {
    let (space, d) = (&judge.plain.spec.space, sides.len());
    let snap = |point: Point| space.encode(&space.decode(&point));
    let mut points: Vec<Point> = Vec::new();
    let inside =
        |j: usize, stream: &mut Stream| sides[j].0 + stream.uniform() * (sides[j].1 - sides[j].0);
    for i in 0..160 {
        let mut point: Point = Vec::new();
        if (60..120).contains(&i) {
            let (base, sure) =
                (&top[stream.below(top.len() as u64) as usize], stream.below(d as u64) as usize);
            for j in 0..d {
                let redraw = stream.uniform() < (3.0 / d as f64).clamp(0.2, 1.0) || j == sure;
                point.push(if redraw { inside(j, stream) } else { base[j] });
            }
        } else {
            point =
                (0..d).map(|j| if i < 60 { inside(j, stream) } else { stream.uniform() }).collect();
        }
        points.push(snap(point));
    }
    for size in [0.125, 0.04] {
        let mut order: Vec<usize> = (0..points.len()).collect();
        let scores: Vec<f64> = points.iter().map(|p| judge.score(p)).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        for best in &order[..4] {
            for _ in 0..12 {
                let mut point = points[*best].clone();
                for j in 0..d {
                    let moves = stream.uniform();
                    if judge.plain.categorical[j] {
                        point[j] = if moves < 0.2 { stream.uniform() } else { point[j] };
                    } else if moves < f64::max(0.35, 1.5 / d as f64) {
                        point[j] = (point[j]
                            + size * judge.theta.scales[j].min(1.0) * stream.normal())
                        .clamp(0.0, 1.0);
                    }
                }
                points.push(snap(point));
            }
        }
    }
    points
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1e-3)
}

fn compare(spec: &SweepSpec, log: &History, trial: u32, pending: &[u32]) {
    let space = &spec.space;
    let suggestion = zoom(spec, trial, log, pending);
    assert_eq!(suggestion.reason.source, Source::Ranked);
    let ranking = suggestion.reason.ranking.unwrap();
    let categorical: Vec<bool> =
        space.parameters().iter().map(|p| matches!(p.domain, Domain::Choice { .. })).collect();
    let plain = Plain { spec, log, categorical };
    let theta = plain.theta();
    assert!(
        theta.scales.iter().zip(&ranking.length_scales).all(|(a, b)| close(*a, *b)),
        "{:?} {:?}",
        theta.scales,
        ranking.length_scales
    );
    assert!(close(plain.side(), ranking.side), "{} {}", plain.side(), ranking.side);
    let (points, costs) = plain.values(log);
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|a, b| costs[*a].total_cmp(&costs[*b]));
    assert_eq!(results(log)[order[0]].latest.trial, ranking.centre);
    let sides = sides(&plain, &points[order[0]], plain.side(), &theta.scales);
    for (j, (p, recorded)) in
        space.parameters().iter().zip(suggestion.reason.search_box.unwrap().sides).enumerate()
    {
        let Extent::Range { low, high } = recorded.extent else { continue };
        let same = |recorded: &Value, unit: f64| {
            close(recorded.as_f64().unwrap(), p.domain.decode(unit).as_f64().unwrap())
        };
        assert!(
            same(&low, sides[j].0) && same(&high, sides[j].1),
            "{} {low} {high} {:?}",
            p.name,
            sides[j]
        );
    }
    let judge = Judge::new(&plain, theta, pending);
    let score = judge.score(&space.encode(&suggestion.assignment));
    assert!(close(score, ranking.score), "{score} {}", ranking.score);
    let top: Vec<Point> = order[..5].iter().map(|i| points[*i].clone()).collect();
    let candidates = candidates(
        &judge,
        &sides,
        &top,
        &mut Seed::derive(spec.seed, u64::from(trial), Purpose::Candidates).stream(0),
    );
    let used = |p: &Point| {
        points
            .iter()
            .chain(&judge.all)
            .any(|other| other.iter().zip(p).all(|(a, b)| (a - b).abs() < 1e-9))
    };
    let best = candidates
        .iter()
        .filter(|p| !used(p))
        .max_by(|a, b| judge.score(a).total_cmp(&judge.score(b)))
        .unwrap();
    let chosen = space.encode(&suggestion.assignment);
    assert!(best.iter().zip(&chosen).all(|(a, b)| (a - b).abs() < 1e-6), "{best:?} {chosen:?}");
}

#[test]
fn a_plain_implementation_suggests_the_same_trials() {
    for (rungs, trials) in [(false, 130), (true, 110)] {
        let spec = spec();
        let mut log = record(&spec, trials, rungs);
        let early = prefix(&log, 30);
        let in_flight = (0..6).map(|i| zoom(&spec, 1000 + 8 * i, &early, &[]).assignment);
        let pending: Vec<u32> = in_flight.map(|a| log.push_trial(&a).unwrap()).collect();
        for entries in [20, 40, 90, log.len()] {
            compare(&spec, &prefix(&log, entries), 1001, &pending);
            compare(&spec, &prefix(&log, entries), 1002, &[]);
        }
    }
}
