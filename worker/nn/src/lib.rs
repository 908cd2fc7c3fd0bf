//! Training of batch-normalised networks on one CPU core, with the same bits on every machine.
//!
//! A [`TrialTrainer`] trains one trial, for which a cross-validation needs several trainings, each
//! by a [`Trainer`]: a multilayer perceptron for classification or regression. It is
//! a function of the spec, the data, the sweep's seed and the trial's number. It trains on one
//! thread, epoch by epoch, and can be interrupted before any mini-batch, saved there, and resumed
//! on another machine.
//!
//! ```
//! use std::sync::Arc;
//!
//! use caviar_common::assignment::{Assignment, Value};
//! use caviar_common::data::DataSpec;
//! use caviar_common::hyper::train_spec;
//! use caviar_nn::Trainer;
//!
//! // The data: the built-in digits, 20 % for validation and 10 % for the test.
//! let data = DataSpec {
//!     source: "builtin:digits".to_owned(),
//!     validation: 0.2,
//!     test: 0.1,
//!     ..DataSpec::default()
//! };
//! let (splits, _) = caviar_data::prepare(&data, 1)?;
//!
//! // The hyperparameters: two hidden layers of 64 units trained by Adam; the rest are defaults.
//! let mut fixed = Assignment::default();
//! fixed.insert("epochs", Value::Int(2));
//! fixed.insert("optimizer", Value::Text("adam".into()));
//! let spec = train_spec(&fixed, &Assignment::default())?;
//!
//! // The training of trial 0 of the sweep with seed 1.
//! let mut trainer = Trainer::new(&spec, Arc::new(splits), 1, 0)?;
//! while trainer.epochs_done() < spec.epochs {
//!     if let Some(epoch) = trainer.epoch(&|| true)? {
//!         println!("epoch {}: loss {}", epoch.epoch, epoch.validation.loss);
//!     }
//! }
//! let accuracy = trainer.test()?.and_then(|score| score.accuracy);
//! assert!(accuracy > Some(0.9), "{accuracy:?}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Checkpoints
//!
//! [`Trainer::checkpoint`] writes everything that later steps depend on, before any mini-batch. A
//! new trainer with the same arguments continues from it with the same bits, on every CPU:
//!
//! ```
//! # use std::sync::Arc;
//! # use caviar_common::assignment::Assignment;
//! # use caviar_common::data::DataSpec;
//! # use caviar_common::hyper::train_spec;
//! # use caviar_nn::Trainer;
//! # let data = DataSpec {
//! #     source: "builtin:digits".to_owned(),
//! #     validation: 0.2,
//! #     test: 0.1,
//! #     ..DataSpec::default()
//! # };
//! # let splits = Arc::new(caviar_data::prepare(&data, 1)?.0);
//! # let spec = train_spec(&Assignment::default(), &Assignment::default())?;
//! # use std::cell::Cell;
//! let mut trainer = Trainer::new(&spec, splits.clone(), 1, 0)?;
//! let batches = Cell::new(0);
//! let three = || batches.replace(batches.get() + 1) < 3;
//! assert_eq!(trainer.epoch(&three)?, None);
//! let checkpoint = trainer.checkpoint(0.25)?;
//!
//! let mut elsewhere = Trainer::new(&spec, splits, 1, 0)?;
//! let seconds = elsewhere.restore(&checkpoint)?;
//! assert_eq!((elsewhere.batches_done(), seconds), (3, 0.25));
//! assert_eq!(elsewhere.epoch(&|| true)?, trainer.epoch(&|| true)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A checkpoint of n parameters has 4 n (1 + s) bytes and a few more, where s is 0 for sgd, 1 for
//! momentum, nesterov and rmsprop, and 2 for adam and adamw, and one more with `weight_average`. It
//! names the spec, the seed, the trial
//! and the data that it belongs to, and ends with a checksum. One of another training, of another
//! version or with a wrong byte is refused, and the trainer stays as it was. The example
//! `checkpoints` measures: 302,000 parameters with adam are 3.6 MB and take 2.5 ms to write;
//! 2,900,000 are 35 MB and take 70 ms.
//!
//! # How the parts fit together
//!
//! Each line uses only the lines below it.
//!
//! | module | contents |
//! |---|---|
//! | [`TrialTrainer`] | the trainings of a trial: one for each fold and repeat |
//! | [`refit()`] | the training of a network on all rows |
//! | [`trainer`] | epochs, mini-batches, evaluation, checkpoints |
//! | `checkpoint` | the bytes of a checkpoint |
//! | [`Predictor`] | predictions of a trained model for new rows |
//! | `judge` | the measure that is the objective |
//! | `keep`, `softmax` | models and predictions |
//! | `optimizer`, `schedule` | the update rules and the learning rate |
//! | `order`, `file_rows` | the order of the rows in an epoch, and rows that are in a file |
//! | `network` | the layers over flat buffers of parameters; forward, loss, backward |
//! | `stage`, `stage_passes` | what is learnt before the first layer: embeddings and factors |
//! | `fit`, `quantile` | what is learnt from the training split before the first step |
//! | `best` | the weights of the best epoch so far |
//! | `average` | the moving averages of the parameters, which are evaluated instead of them |
//! | `weights` | a second set of parameters and running statistics |
//! | `layer` | one layer: product, normalisation, activation, dropout, and gradients |
//! | `products` | the three matrix products in the precision of the spec |
//! | `batch_norm`, `passes`, `loss`, `dropout` | passes over activations, made of vectors |
//! | `activation`, `elementary` | activation functions; exp, tanh, erf and sqrt of vectors |
//! | `tensor` | the places of weights and vectors in a flat buffer |
//! | `kernels` | vectors, matrix layout and register tiles for AVX-512, AVX2 and NEON |
//!
//! `memory` computes the memory of a training beforehand ([`trial_bytes`]), and `check` refuses
//! specs and data that cannot be trained. All memory is allocated when a trainer is made, except
//! for rows that are in a file.
mod activation;
mod average;
mod batch_norm;
#[doc(hidden)]
pub mod bench;
mod best;
mod check;
mod checkpoint;
mod dropout;
mod elementary;
pub mod error;
mod file_rows;
mod fit;
mod judge;
mod keep;
mod kernels;
mod layer;
mod loss;
mod memory;
mod network;
mod optimizer;
mod order;
mod passes;
mod predictor;
mod products;
mod progress;
mod quantile;
mod refit;
mod rows;
mod schedule;
mod softmax;
mod stage;
mod stage_categories;
mod stage_passes;
mod tensor;
pub mod trainer;
mod trial;
mod weights;

pub use error::TrainError;
pub use kernels::kernel_family;
#[doc(hidden)]
pub use kernels::multiply_add;
pub use memory::{data_bytes, trial_bytes};
pub use predictor::Predictor;
pub use refit::refit;
pub use softmax::softmax;
pub use trainer::Trainer;
pub use trial::TrialTrainer;

#[cfg(test)]
mod tests;
