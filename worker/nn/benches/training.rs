//! Measures steps of the four nets of docs/performance.md, an epoch, and an evaluation:
//! `cargo bench -p caviar-nn --bench training`.
//!
//! `CAVIAR_KERNELS` chooses the kernels. Compare only figures of the same run: machines change from
//! hour to hour.
#![allow(
    clippy::unwrap_used,
    clippy::as_conversions,
    reason = "a measuring program with made-up data"
)]

#[path = "../examples/support/nets.rs"]
mod nets;

use caviar_common::limits::MAX_EPOCHS;
use caviar_common::train::{Normalization, Optimizer, TrainSpec};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

/// Steps per sample.
const STEPS: u64 = 20;

fn bench_steps(bencher: Bencher, net: &str, change: impl Fn(&mut TrainSpec)) {
    let mut spec = nets::spec(net).unwrap();
    change(&mut spec);
    let mut trainer = nets::trainer(net, &spec, 1).unwrap();
    bencher.counter(ItemsCount::new(STEPS)).bench_local(|| trainer.repeat_steps(STEPS).unwrap());
}

#[divan::bench(args = ["tiny", "small", "medium", "wide"], sample_count = 20)]
fn steps_with_adam(bencher: Bencher, net: &str) {
    bench_steps(bencher, net, |spec| spec.optimizer = nets::ADAM);
}

#[divan::bench(args = ["tiny", "small", "medium", "wide"], sample_count = 20)]
fn steps_with_momentum(bencher: Bencher, net: &str) {
    bench_steps(bencher, net, |spec| spec.optimizer = Optimizer::Momentum { momentum: 0.9 });
}

#[divan::bench(sample_count = 20)]
fn steps_with_dropout(bencher: Bencher) {
    bench_steps(bencher, "small", |spec| spec.dropout = 0.2);
}

#[divan::bench(sample_count = 20)]
fn steps_with_clipping_and_decay(bencher: Bencher) {
    bench_steps(bencher, "small", |spec| (spec.gradient_clip, spec.weight_decay) = (1.0, 1e-4));
}

#[divan::bench(args = [Normalization::After, Normalization::None], sample_count = 20)]
fn steps_with_another_placement(bencher: Bencher, normalization: Normalization) {
    bench_steps(bencher, "small", |spec| spec.normalization = normalization);
}

#[divan::bench(args = ["64-96-96-10@64", "64-99-99-10@64", "64-112-112-10@64"], sample_count = 20)]
fn steps_of_odd_widths(bencher: Bencher, net: &str) {
    bench_steps(bencher, net, |_| {});
}

/// An epoch of 16 mini-batches, which evaluates as many examples as `batches` mini-batches have.
#[divan::bench(args = [0, 8], sample_count = 20)]
fn epochs_with_batches_to_evaluate(bencher: Bencher, batches: usize) {
    let spec = TrainSpec { epochs: MAX_EPOCHS, ..nets::spec("small").unwrap() };
    let mut trainer =
        nets::trainer("small", &spec, (batches * spec.batch_size as usize).max(1)).unwrap();
    bencher.bench_local(|| trainer.epoch(&|| true).unwrap());
}
