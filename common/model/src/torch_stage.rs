//! The stage before the first layer in PyTorch: its module, and its lists as tensors.

use std::fmt::Write;

use crate::input::{
    BINS, Basis, Bin, CATEGORIES, CATEGORY_COLUMNS, InputStage, Knots, NumberScaling, StageTensor,
    bins,
};

/// The module of `model.py`. What is in braces is for networks that embed categories.
const MODULE: &str = r#"class Stage(nn.Module):
    """Scales and embeds the numbers, and multiplies all inputs by learnt factors."""

    def __init__(self, numbers, others, order, tables, learnt{argument}):
        super().__init__()
        self.numbers, self.others, self.order = numbers, others, order
{start}        self.parts = [*tables, *learnt]
        for name, shape in tables.items():
            self.register_buffer(name, torch.zeros(shape))
        for name, shape in learnt.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))

    def scale(self, x):
        if "medians" in self.parts:
            u = (x - self.medians) * self.scales
            return u / torch.sqrt(1 + (u / 3) ** 2)
        if "places" in self.parts:
            last = self.places.shape[1] - 2
            knot = torch.clip((x[:, :, None] >= self.places).sum(2) - 1, 0, last)
            column = list(range(x.shape[1]))
            start, end = self.places[column, knot], self.places[column, knot + 1]
            low, high = self.values[column, knot], self.values[column, knot + 1]
            return low + (high - low) * torch.clip((x - start) / (end - start), 0, 1)
        return x

    def embed(self, x):
        wide = x[:, :, None]
        if "frequencies" in self.parts:
            # A far number makes many turns: too many for the digits of a 32-bit float.
            turns = self.frequencies.double() * wide.double()
            turns = (turns - torch.round(turns)).to(self.phases.dtype)
            h = torch.cos(2 * torch.pi * turns + self.phases)
        elif "bin_start" in self.parts:
            h = (wide - self.bin_start) * self.bin_factor
            h = torch.minimum(torch.maximum(h, self.bin_low), self.bin_high)
        else:
            return x
        out = torch.einsum("ncf,cfs->ncs", h, self.weight) + self.bias
        if "frequencies" in self.parts:
            out = torch.cat([wide, out], 2)
        return out.reshape(len(x), -1)

{method}    def forward(self, x):
{replacement}        if "factors" in self.parts:
            x = x * self.factors
        return x


"#;

const ARGUMENT: &str = ", inputs, firsts, counts";
const START: &str = r#"        # Of each category its input, its first vector, and how many it has.
        self.inputs, self.firsts = inputs, torch.tensor([firsts])
        self.counts = torch.tensor([counts])
"#;
const METHOD: &str = r#"    def vectors(self, x):
        """The vectors of the categories; 0 for what is not the number of a value."""
        numbers = x[:, self.inputs]
        counts = self.counts.to(x.device)
        known = (numbers >= 1) & (numbers < counts + 1)
        rows = torch.minimum(torch.clip(numbers.long(), 1, None), counts) - 1
        rows = rows + self.firsts.to(x.device)
        return (self.categories[rows] * known[:, :, None]).reshape(len(x), -1)

"#;
const REPLACEMENT: &str = r#"        if self.numbers:
            numbers = self.embed(self.scale(x[:, self.numbers]))
            x = torch.cat([numbers, x[:, self.others]], 1)[:, self.order]
"#;
const REPLACEMENT_WITH_CATEGORIES: &str = r#"        parts = [self.vectors(x), x[:, self.others]]
        if self.numbers:
            parts.insert(0, self.embed(self.scale(x[:, self.numbers])))
        x = torch.cat(parts, 1)[:, self.order]
"#;

/// The module of `model.py` for networks that embed categories, or not.
pub(crate) fn module(has_categories: bool) -> String {
    let [argument, start, method, replacement] = if has_categories {
        [ARGUMENT, START, METHOD, REPLACEMENT_WITH_CATEGORIES]
    } else {
        ["", "", "", REPLACEMENT]
    };
    MODULE
        .replace("{argument}", argument)
        .replace("{start}", start)
        .replace("{method}", method)
        .replace("{replacement}", replacement)
}

/// A list of a stage as PyTorch has it.
pub(crate) struct TorchTensor {
    pub(crate) name: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
    pub(crate) is_learnt: bool,
}

/// The lists of a stage. Those that differ in length between the numbers are padded.
pub(crate) fn tensors(stage: &InputStage) -> Vec<TorchTensor> {
    let count = stage.numbers.len();
    let mut tensors = Vec::new();
    let mut table = |name, width, values| {
        let shape = vec![count, width];
        tensors.push(TorchTensor { name, shape, values, is_learnt: false });
    };
    if let NumberScaling::Quantile(knots) = &stage.scaling {
        let most = knots.iter().map(|knots| knots.places.len()).max().unwrap_or(0).max(2);
        // Beyond the last knot, the function stays at its value.
        let padded = |pick: fn(&Knots) -> &[f32], filler: fn(&[f32]) -> f32| -> Vec<f32> {
            let lists = knots.iter().map(pick);
            let pad = |list: &[f32]| {
                let missing = most.saturating_sub(list.len());
                let mut list = list.to_vec();
                list.extend(std::iter::repeat_n(filler(&list), missing));
                list
            };
            lists.flat_map(pad).collect()
        };
        let last = |list: &[f32]| list.last().copied().unwrap_or_default();
        table("places", most, padded(|knots| &knots.places, |_| f32::MAX));
        table("values", most, padded(|knots| &knots.values, last));
    }
    if let Some(Basis::PiecewiseLinear { edges }) = stage.embedding.as_ref().map(|it| &it.basis) {
        let all: Vec<Bin> = edges.iter().flat_map(|edges| bins(edges)).collect();
        let list = |pick: fn(&Bin) -> f32| all.iter().map(pick).collect::<Vec<f32>>();
        table("bin_start", BINS, list(|bin| bin.start));
        table("bin_factor", BINS, list(|bin| bin.factor));
        table("bin_low", BINS, list(|bin| bin.low));
        table("bin_high", BINS, list(|bin| bin.high));
    }
    let is_padded = |name: &str| ["places", "values", "edges"].contains(&name);
    let plain = stage.tensors().into_iter().filter(|tensor| !is_padded(tensor.name));
    for StageTensor { name, shape, values, is_learnt } in plain {
        match tensors.last_mut().filter(|last| name == CATEGORIES && last.name == name) {
            // The vectors of all categories are one list.
            Some(TorchTensor { shape: all, values: list, .. }) => {
                list.extend_from_slice(values);
                *all = vec![list.len() / CATEGORY_COLUMNS, CATEGORY_COLUMNS];
            }
            None => tensors.push(TorchTensor { name, shape, values: values.to_vec(), is_learnt }),
        }
    }
    tensors
}

/// The expression that makes the stage of `width` encoded inputs, or `None` without a stage.
pub(crate) fn expression(stage: &InputStage, width: usize) -> Option<String> {
    if stage.is_empty() {
        return None;
    }
    let others = stage.others(width);
    let order = stage.order(width);
    let mut text = format!("Stage({:?}, {others:?}, {order:?}", stage.numbers);
    for is_learnt in [false, true] {
        let mut entries = Vec::new();
        for tensor in tensors(stage).into_iter().filter(|it| it.is_learnt == is_learnt) {
            entries.push(format!("{:?}: {:?}", tensor.name, tensor.shape));
        }
        let _infallible = write!(text, ", {{{}}}", entries.join(", "));
    }
    if !stage.categories.is_empty() {
        let places: Vec<usize> = stage.categories.iter().map(|category| category.place).collect();
        let values: Vec<usize> = stage.categories.iter().map(|category| category.values).collect();
        let firsts: Vec<usize> = values
            .iter()
            .scan(0, |next, values| {
                let first = *next;
                *next += values;
                Some(first)
            })
            .collect();
        let _infallible = write!(text, ", {places:?}, {firsts:?}, {values:?}");
    }
    Some(text + ")")
}
