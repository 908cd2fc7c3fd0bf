//! Trained models: what a sweep ends with.
//!
//! A [`Model`] has the weights of one network, or of several that are averaged, and the
//! [`Schema`](caviar_data::Schema) that turns raw rows into their inputs.
//!
//! - [`Model::to_bytes`] and [`Model::from_bytes`] are its file; [`Model::config`] describes it.
//! - [`onnx()`] and [`safetensors()`] write it for other programs, and [`pytorch_example`] writes
//!   the Python module that loads the latter.
//! - [`card()`] is the text that is published with it.
//! - [`Model::predict_row`] is the reference that all forms are compared with.
//!
//! The crate is pure: it reads and writes bytes in memory.
//!
//! ```
//! use caviar_common::data::DataSpec;
//! use caviar_model::{About, InputStage, Layer, Member, Model};
//!
//! let source = "builtin:digits".to_owned();
//! let data = DataSpec { source, validation: 0.2, ..DataSpec::default() };
//! let dataset = caviar_data::load(&data)?;
//! let splits = caviar_data::split(&dataset, &data, 7)?;
//! let schema = splits.schema.expect("the data has a schema");
//!
//! // Softmax regression: an output layer only. It was not trained.
//! let output = Layer {
//!     inputs: 64,
//!     outputs: 10,
//!     weights: vec![0.0; 640],
//!     bias: Some(vec![0.0; 10]),
//!     activation: None,
//!     norm: None,
//! };
//! let about = About {
//!     caviar: "0.1.0".to_owned(),
//!     sweep: "digits".to_owned(),
//!     trial: 3,
//!     epoch: 20,
//!     seed: 7,
//!     data_digest: dataset.digest().to_owned(),
//!     hyperparameters: serde_json::Value::Null,
//!     temperature: 1.0,
//! };
//! let stage = InputStage::default();
//! let member = Member { weight: 1.0, about, stage, layers: vec![output] };
//! let model = Model::new((*schema).clone(), vec![member])?;
//!
//! let mut bytes = model.to_bytes()?;
//! assert_eq!(Model::from_bytes(&bytes)?, model);
//! assert_eq!(model.config()["classes"][9], "9");
//!
//! bytes[100] ^= 1;
//! let error = Model::from_bytes(&bytes).unwrap_err();
//! assert!(error.to_string().starts_with("the model is damaged"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

#[cfg(feature = "export")]
mod card;
#[cfg(feature = "export")]
mod card_program;
mod config;
mod error;
mod file;
mod fold;
mod input;
mod kept;
mod limits;
mod model;
#[cfg(feature = "export")]
mod onnx;
#[cfg(feature = "export")]
mod pytorch;
mod reader;
mod reference;
#[cfg(feature = "export")]
mod safetensors;
mod stored_stage;
#[cfg(feature = "export")]
mod torch_stage;

#[cfg(feature = "export")]
pub use card::{ModelFile, card};
pub use error::{ModelError, StageFault, Tensor};
pub use input::{
    BINS, Basis, Bin, CATEGORY_COLUMNS, CategoryEmbedding, InputStage, Knots, NumberEmbedding,
    NumberScaling, PERIODS, bins,
};
pub use kept::Kept;
pub use limits::MAX_MEMBERS;
pub use model::{About, BatchNorm, Layer, Member, Model, Place};
#[cfg(feature = "export")]
pub use onnx::{OnnxForm, OnnxOptions, onnx, onnx_inputs};
#[cfg(feature = "export")]
pub use pytorch::pytorch_example;
#[cfg(feature = "export")]
pub use safetensors::safetensors;
