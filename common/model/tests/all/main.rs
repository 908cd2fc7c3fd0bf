//! The public behaviour of models: their file and their exported forms.

#[cfg(test)]
mod file;
#[cfg(test)]
mod python;
#[cfg(test)]
mod safetensors;
#[cfg(test)]
#[allow(dead_code, reason = "some of it is for the exported forms")]
mod sample;
