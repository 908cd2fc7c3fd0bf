//! Nothing secret in command lines, logs, outputs or the store.
