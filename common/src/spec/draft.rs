//! What somebody wrote, before it is checked. Everything absent is `None`, names are still text,
//! numbers may be anything.

use crate::assignment::Value;

/// A sweep as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// `name`
    pub name: Option<String>,
    /// `seed`
    pub seed: Option<u64>,
    /// `[data]`
    pub data: DraftData,
    /// `[fixed]`
    pub fixed: Vec<(String, Value)>,
    /// `[space]`; none asks for the default space.
    pub space: Option<Vec<DraftParameter>>,
    /// `[search]`
    pub search: DraftSearch,
    /// `[objective]`
    pub objective: DraftObjective,
    /// `[stopping]`
    pub stopping: DraftStopping,
}

/// `[data]` as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DraftData {
    /// `source`
    pub source: Option<String>,
    /// `label`
    pub label: Option<String>,
    /// `labels`
    pub labels: Option<String>,
    /// `task`
    pub task: Option<String>,
    /// `validation`
    pub validation: Option<f64>,
    /// `test`
    pub test: Option<f64>,
}

/// One entry of `[space]` as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DraftParameter {
    /// The key.
    pub name: String,
    /// `type`: int or float
    pub kind: Option<String>,
    /// `scale`
    pub scale: Option<String>,
    /// `low`
    pub low: Option<Value>,
    /// `high`
    pub high: Option<Value>,
    /// `choices`
    pub choices: Option<Vec<Value>>,
    /// `when`: parameters and the values for which this one is active
    pub when: Option<Vec<(String, Vec<Value>)>>,
    /// `points`
    pub points: Option<u64>,
}

/// `[search]` as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DraftSearch {
    /// `strategy`
    pub strategy: Option<String>,
    /// `trials`
    pub trials: Option<u64>,
    /// `rounds`
    pub rounds: Option<Vec<u64>>,
    /// `parallelism`
    pub parallelism: Option<u64>,
    /// `order`
    pub order: Option<String>,
    /// `warm_start`
    pub warm_start: Option<String>,
}

/// `[objective]` as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DraftObjective {
    /// `metric`
    pub metric: Option<String>,
    /// `goal`
    pub goal: Option<String>,
}

/// `[stopping]` as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DraftStopping {
    /// `rule`
    pub rule: Option<String>,
}
