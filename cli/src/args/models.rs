//! The arguments of the commands about models.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Source;
use super::values::path;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar model digits                        The best trial, in the folder digits-model
  caviar model digits --ensemble -o models/digits
  caviar model digits --trial 46 --format onnx,safetensors")]
pub(crate) struct ModelArguments {
    /// Which of the models that are kept.
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// Calibrate the probabilities on the validation split, with one temperature for each network
    #[arg(long)]
    pub(crate) calibrate: bool,
    /// The folder that is written, and its files.
    #[command(flatten)]
    pub(crate) folder: FolderArguments,
    /// Where to read from.
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar refit digits                        The winner, trained again on all rows
  caviar refit digits --ensemble --format caviar,onnx -o digits-final")]
pub(crate) struct RefitArguments {
    /// Which of the models that are kept.
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// The folder that is written, and its files.
    #[command(flatten)]
    pub(crate) folder: FolderArguments,
    /// Where to read from.
    #[command(flatten)]
    pub(crate) source: Source,
}

/// Which of the models of a sweep.
#[derive(Debug, Args)]
pub(crate) struct Choice {
    /// Name or number of the sweep
    pub(crate) sweep: String,
    /// The trial whose model is written [default: the best one]
    #[arg(long, value_name = "N", conflicts_with = "ensemble")]
    pub(crate) trial: Option<u32>,
    /// Write an average of several of the best models
    #[arg(long)]
    pub(crate) ensemble: bool,
}

/// The folder of a model.
#[derive(Debug, Args)]
pub(crate) struct FolderArguments {
    /// The folder to write [default: the name of the sweep with -model or -refit, in this folder]
    #[arg(short, long, value_name = "DIR", value_parser = path())]
    pub(crate) output: Option<PathBuf>,
    /// The forms of the model, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "caviar")]
    pub(crate) format: Vec<ModelFormat>,
    /// Make batch normalisation a part of the weights in ONNX
    #[arg(long)]
    pub(crate) fold_batch_norm: bool,
}

/// A form of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModelFormat {
    /// For caviar predict and caviar evaluate
    Caviar,
    /// For ONNX runtimes, with one input for each column
    Onnx,
    /// For ONNX runtimes, with one matrix of encoded inputs
    OnnxCore,
    /// For PyTorch, with a module that loads it
    Safetensors,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caviar predict digits-model new.csv -o predicted.csv
  caviar predict digits-model new.csv.gz | head")]
pub(crate) struct Predict {
    /// The folder of the model, or its file model.caviar
    #[arg(value_parser = path())]
    pub(crate) model: PathBuf,
    /// How the rows are read.
    #[command(flatten)]
    pub(crate) rows: RowsArguments,
    /// The file to write [default: standard output]
    #[arg(short, long, value_name = "PATH", value_parser = path())]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  caviar evaluate digits-model labelled.csv")]
pub(crate) struct Evaluate {
    /// The folder of the model, or its file model.caviar
    #[arg(value_parser = path())]
    pub(crate) model: PathBuf,
    /// How the rows are read.
    #[command(flatten)]
    pub(crate) rows: RowsArguments,
    /// The labels of an IDX or NPY file
    #[arg(long, value_name = "PATH", value_parser = path())]
    pub(crate) labels: Option<PathBuf>,
    /// Write one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// A file with rows for a model.
#[derive(Clone, Debug, Args)]
pub(crate) struct RowsArguments {
    /// The table, in any format that a sweep can be trained on
    #[arg(value_parser = path())]
    pub(crate) data: PathBuf,
    /// The character between two cells of a text file [default: it is detected]
    #[arg(long, value_name = "CHAR")]
    pub(crate) delimiter: Option<char>,
    /// Whether the first row of a text file names the columns [default: as in the training]
    #[arg(long, value_name = "BOOL")]
    pub(crate) header: Option<bool>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  caviar split digits > rows.csv")]
pub(crate) struct Split {
    /// Name or number of the sweep
    pub(crate) sweep: String,
    /// Where to read from.
    #[command(flatten)]
    pub(crate) source: Source,
}
