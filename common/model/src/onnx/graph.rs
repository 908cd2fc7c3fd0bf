//! Builds a graph of operators, node by node. Every value has a name that the graph chooses.

use caviar_common::numbers::to_u64;

use super::proto::attribute_proto::AttributeType;
use super::proto::tensor_proto::DataType;
use super::proto::tensor_shape_proto::{Dimension, dimension};
use super::proto::type_proto::{Tensor as TensorType, Value};
use super::proto::{
    AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
};

/// What the names of all values inside the graph begin with. No input has such a name.
pub(super) const PREFIX: &str = "caviar/";
/// The domain of the operators for classical models, such as `CategoryMapper`.
pub(super) const ML_DOMAIN: &str = "ai.onnx.ml";
/// The name of the first dimension of every input and output: the number of rows.
const ROWS: &str = "N";

/// The name of a value.
pub(super) type Name = String;

/// A graph under construction.
#[derive(Default)]
pub(super) struct Graph {
    proto: GraphProto,
    values: usize,
}

impl Graph {
    fn next(&mut self, what: &str) -> Name {
        self.values += 1;
        format!("{PREFIX}{what}_{}", self.values)
    }

    /// Adds a node with one output, and returns the name of the output.
    pub(super) fn node(&mut self, operator: &str, inputs: &[&str]) -> Name {
        self.node_with(operator, inputs, Vec::new())
    }

    /// The same with attributes.
    pub(super) fn node_with(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) -> Name {
        let output = self.next(operator);
        self.proto.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.clone()],
            name: output.clone(),
            op_type: operator.to_owned(),
            domain: String::new(),
            attribute,
        });
        output
    }

    /// The number of a text: that of `keys`, or `default` for all other texts.
    pub(super) fn text_to_number(
        &mut self,
        input: &str,
        keys: Vec<(String, i64)>,
        default: i64,
    ) -> Name {
        let (texts, numbers) =
            keys.into_iter().map(|(text, number)| (text.into_bytes(), number)).unzip();
        let texts = AttributeProto {
            name: "cats_strings".to_owned(),
            r#type: AttributeType::Strings.into(),
            strings: texts,
            ..AttributeProto::default()
        };
        let numbers = ints("cats_int64s", numbers);
        let output = self.node_with(
            "CategoryMapper",
            &[input],
            vec![texts, numbers, int("default_int64", default)],
        );
        if let Some(node) = self.proto.node.last_mut() {
            ML_DOMAIN.clone_into(&mut node.domain);
        }
        output
    }

    /// Gives the last value a name of the user.
    pub(super) fn name_last(&mut self, name: &str) {
        if let Some(output) = self.proto.node.last_mut().and_then(|node| node.output.first_mut()) {
            name.clone_into(output);
        }
    }

    fn constant(&mut self, dims: &[usize], kind: DataType, raw_data: Vec<u8>) -> Name {
        let name = self.next("constant");
        self.proto.initializer.push(TensorProto {
            dims: dims.iter().map(|&dim| signed(dim)).collect(),
            data_type: kind.into(),
            string_data: Vec::new(),
            name: name.clone(),
            raw_data,
        });
        name
    }

    /// A constant of 32-bit floats; `dims` is empty for a scalar.
    pub(super) fn floats(&mut self, dims: &[usize], values: &[f32]) -> Name {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(dims, DataType::Float, bytes)
    }

    /// A constant of 64-bit floats.
    pub(super) fn doubles(&mut self, dims: &[usize], values: &[f64]) -> Name {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(dims, DataType::Double, bytes)
    }

    /// A constant of 64-bit integers.
    pub(super) fn integers(&mut self, dims: &[usize], values: &[i64]) -> Name {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(dims, DataType::Int64, bytes)
    }

    /// A constant list of texts.
    pub(super) fn texts(&mut self, values: &[String]) -> Name {
        let name = self.constant(&[values.len()], DataType::String, Vec::new());
        if let Some(tensor) = self.proto.initializer.last_mut() {
            tensor.string_data = values.iter().map(|text| text.clone().into_bytes()).collect();
        }
        name
    }

    /// Converts to another type of number.
    pub(super) fn cast(&mut self, input: &str, kind: DataType) -> Name {
        self.node_with("Cast", &[input], vec![int("to", i32::from(kind).into())])
    }

    /// Which 64-bit floats are NaN: those that do not equal themselves. Some runtimes lack `IsNaN`
    /// for them.
    pub(super) fn is_nan(&mut self, input: &str) -> Name {
        let is_number = self.node("Equal", &[input, input]);
        self.node("Not", &[&is_number])
    }

    /// Puts matrices with the same rows next to each other.
    pub(super) fn concat(&mut self, inputs: &[&str]) -> Name {
        self.node_with("Concat", inputs, vec![int("axis", 1)])
    }

    /// The columns with these numbers.
    pub(super) fn columns(&mut self, input: &str, numbers: &[usize]) -> Name {
        let numbers: Vec<i64> = numbers.iter().map(|&number| signed(number)).collect();
        let numbers = self.integers(&[numbers.len()], &numbers);
        self.node_with("Gather", &[input, &numbers], vec![int("axis", 1)])
    }

    /// Reorders the dimensions.
    pub(super) fn transpose(&mut self, input: &str, order: Vec<i64>) -> Name {
        self.node_with("Transpose", &[input], vec![ints("perm", order)])
    }

    /// Declares an input: `[N, width]`.
    pub(super) fn input(&mut self, name: &str, kind: DataType, width: usize) {
        self.proto.input.push(value_info(name, kind, Some(width)));
    }

    /// Declares an output: `[N, width]`, or `[N]`.
    pub(super) fn output(&mut self, name: &str, kind: DataType, width: Option<usize>) {
        self.proto.output.push(value_info(name, kind, width));
    }

    /// Whether a node needs [`ML_DOMAIN`].
    pub(super) fn uses_ml(&self) -> bool {
        self.proto.node.iter().any(|node| node.domain == ML_DOMAIN)
    }

    /// The finished graph.
    pub(super) fn finish(mut self) -> GraphProto {
        "caviar".clone_into(&mut self.proto.name);
        self.proto
    }
}

/// An attribute that is an integer.
pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    let kind = AttributeType::Int.into();
    AttributeProto { name: name.to_owned(), r#type: kind, i: value, ..AttributeProto::default() }
}

/// An attribute that is a float.
pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    let kind = AttributeType::Float.into();
    AttributeProto { name: name.to_owned(), r#type: kind, f: value, ..AttributeProto::default() }
}

fn ints(name: &str, values: Vec<i64>) -> AttributeProto {
    let kind = AttributeType::Ints.into();
    AttributeProto {
        name: name.to_owned(),
        r#type: kind,
        ints: values,
        ..AttributeProto::default()
    }
}

/// A count as ONNX stores it. No count within the limits is too large.
pub(super) fn signed(count: usize) -> i64 {
    i64::try_from(to_u64(count)).unwrap_or(i64::MAX)
}

fn value_info(name: &str, kind: DataType, width: Option<usize>) -> ValueInfoProto {
    let dim = |value| Dimension { value: Some(value) };
    let rows = dim(dimension::Value::DimParam(ROWS.to_owned()));
    let width = width.map(|width| dim(dimension::Value::DimValue(signed(width))));
    let shape = TensorShapeProto { dim: [rows].into_iter().chain(width).collect() };
    let tensor = TensorType { elem_type: kind.into(), shape: Some(shape) };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { value: Some(Value::TensorType(tensor)) }),
        doc_string: String::new(),
    }
}
