//! Measures the parts of a training step: `cargo bench -p caviar-nn --bench kernels`.
//!
//! The layers are those of the nets of docs/performance.md, written [mini-batch, inputs, outputs].
//! Items are the multiply-adds of a product, the floats of a pass, or the parameters of an update.
//! `CAVIAR_KERNELS` chooses the kernels.
#![allow(
    clippy::unwrap_used,
    clippy::as_conversions,
    reason = "a measuring program with made-up data"
)]

#[path = "../examples/support/nets.rs"]
#[allow(dead_code, reason = "this bench needs only the spec of a net")]
mod nets;

use caviar_common::assignment::{Assignment, Value};
use caviar_common::hyper::train_spec;
use caviar_common::train::TrainSpec;
use caviar_nn::bench::{Kernel, prepare_update};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

/// A layer of tiny, of small, of medium and of wide, and one with odd widths.
const LAYERS: [[usize; 3]; 5] =
    [[32, 64, 32], [64, 128, 128], [128, 784, 256], [256, 1024, 1024], [63, 99, 99]];

fn bench(bencher: Bencher, kernel: Kernel, layer: [usize; 3], items: usize) {
    bencher.counter(ItemsCount::new(items)).bench_local(kernel.prepare(layer).unwrap());
}

#[divan::bench(args = LAYERS)]
fn product_forward(bencher: Bencher, layer: [usize; 3]) {
    bench(bencher, Kernel::Forward, layer, layer.iter().product());
}

#[divan::bench(args = LAYERS)]
fn product_weight_gradient(bencher: Bencher, layer: [usize; 3]) {
    bench(bencher, Kernel::WeightGradient, layer, layer.iter().product());
}

#[divan::bench(args = LAYERS)]
fn product_input_gradient(bencher: Bencher, layer: [usize; 3]) {
    bench(bencher, Kernel::InputGradient, layer, layer.iter().product());
}

/// With one row, the time of an input gradient is that of transposing W.
#[divan::bench(args = LAYERS)]
fn transpose(bencher: Bencher, [_, inputs, outputs]: [usize; 3]) {
    bench(bencher, Kernel::InputGradient, [1, inputs, outputs], inputs * outputs);
}

#[divan::bench(args = LAYERS)]
fn normalise_and_relu(bencher: Bencher, layer: [usize; 3]) {
    bench(bencher, Kernel::Normalise, layer, layer[0] * layer[2]);
}

#[divan::bench(args = LAYERS)]
fn normalise_and_relu_backward(bencher: Bencher, layer: [usize; 3]) {
    bench(bencher, Kernel::BackNormalise, layer, layer[0] * layer[2]);
}

#[divan::bench(args = [[32, 1, 10], [256, 1, 10], [256, 1, 100]])]
fn softmax(bencher: Bencher, layer: [usize; 3]) {
    bench(bencher, Kernel::Softmax, layer, layer[0] * layer[2]);
}

#[divan::bench(args = LAYERS)]
fn dropout_mask(bencher: Bencher, layer: [usize; 3]) {
    bench(bencher, Kernel::Mask, layer, layer[0] * layer[2]);
}

#[divan::bench(args = LAYERS)]
fn gather(bencher: Bencher, layer: [usize; 3]) {
    bench(bencher, Kernel::Gather, layer, layer[0] * layer[1]);
}

const OPTIMIZERS: [&str; 6] = ["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"];

#[divan::bench(args = OPTIMIZERS)]
fn update_of_tiny(bencher: Bencher, optimizer: &str) {
    update(bencher, optimizer, [32, 32]);
}

#[divan::bench(args = OPTIMIZERS)]
fn update_of_small(bencher: Bencher, optimizer: &str) {
    update(bencher, optimizer, [128, 128]);
}

#[divan::bench(args = OPTIMIZERS)]
fn update_of_wide(bencher: Bencher, optimizer: &str) {
    update(bencher, optimizer, [1024, 1024]);
}

fn update(bencher: Bencher, optimizer: &str, [inputs, outputs]: [usize; 2]) {
    let mut fixed = Assignment::default();
    fixed.insert("optimizer", Value::Text(optimizer.into()));
    let optimizer = train_spec(&fixed, &Assignment::default()).unwrap().optimizer;
    let spec = TrainSpec { optimizer, ..nets::spec("small").unwrap() };
    let update = prepare_update(spec, [inputs, outputs]).unwrap();
    bencher.counter(ItemsCount::new((inputs + 1) * outputs)).bench_local(update);
}
