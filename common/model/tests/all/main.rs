//! The public behaviour of models: their file and their exported forms.

#[cfg(test)]
mod card;
#[cfg(test)]
mod file;
#[cfg(test)]
mod onnx;
#[cfg(test)]
mod python;
#[cfg(test)]
mod safetensors;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod staged;
