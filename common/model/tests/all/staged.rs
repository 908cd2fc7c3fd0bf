//! Models with a stage before the first layer, with random numbers.

use caviar_common::numbers::{index, real, single};
use caviar_common::seed::Stream;
use caviar_common::train::Activation;
use caviar_data::Schema;
use caviar_model::{
    BINS, Basis, InputStage, Knots, Member, Model, NumberEmbedding, NumberScaling, PERIODS, Place,
};

use crate::sample::{hidden, least_stage, member, normals, output, stream};

/// A stage of each kind for the inputs of a schema.
pub(crate) fn stages(schema: &Schema) -> Vec<InputStage> {
    let numbers = schema.encoder.numbers();
    let count = numbers.len();
    let mut random = stream(77);
    let robust = NumberScaling::Robust {
        medians: normals(&mut random, count, 0.3),
        factors: normals(&mut random, count, 1.0).iter().map(|value| value.abs()).collect(),
    };
    let quantile = NumberScaling::Quantile((0..count).map(|n| knots(&mut random, n)).collect());
    let standard = NumberScaling::Standard;
    let kinds = [
        (robust.clone(), Some(true), true),
        (quantile.clone(), Some(false), false),
        (standard.clone(), Some(true), false),
        (standard.clone(), Some(false), true),
        (quantile, None, false),
        (robust, None, true),
    ];
    let mut stages = Vec::new();
    for (scaling, is_periodic, has_factors) in kinds {
        let embedding = is_periodic.map(|it| embedding(&mut random, count, it));
        let numbers = numbers.clone();
        let mut stage = InputStage { numbers, scaling, embedding, ..least_stage(schema) };
        if has_factors {
            stage.factors = Some(normals(&mut random, stage.width(schema.width()), 1.0));
        }
        stages.push(stage);
    }
    let least = least_stage(schema);
    let factors = Some(normals(&mut random, least.width(schema.width()), 1.0));
    stages.push(InputStage { factors, ..least });
    stages
}

/// Knots with a jump. Number 1 has none.
fn knots(random: &mut Stream, number: usize) -> Knots {
    if number == 1 {
        return Knots::default();
    }
    let mut places = normals(random, 20 + number, 1.0);
    places.sort_by(f32::total_cmp);
    let jump = places[7];
    places.insert(8, jump.next_up());
    let values = (0..places.len()).map(|knot| single(real(knot) / 5.0 - 2.0)).collect();
    Knots { places, values }
}

fn embedding(random: &mut Stream, count: usize, is_periodic: bool) -> NumberEmbedding {
    let size = 3;
    let basis = if is_periodic {
        let frequencies = normals(random, count * PERIODS, 0.5);
        Basis::Periodic { frequencies, phases: normals(random, count * PERIODS, 2.0) }
    } else {
        let edges = |number: usize| {
            // Number 1 has no bins, and number 2 as many as possible.
            let len = [5, 0, BINS + 1, 2].get(number).copied().unwrap_or(9);
            let mut edges = normals(random, len, 1.0);
            edges.sort_by(f32::total_cmp);
            edges
        };
        Basis::PiecewiseLinear { edges: (0..count).map(edges).collect() }
    };
    let weights = normals(random, count * basis.functions() * size, 0.3);
    NumberEmbedding { basis, size, weights, bias: normals(random, count * size, 0.3) }
}

/// A model of one network with that stage.
pub(crate) fn staged(schema: &Schema, stage: InputStage) -> Model {
    Model::new(schema.clone(), vec![staged_member(schema, stage)]).unwrap()
}

fn staged_member(schema: &Schema, stage: InputStage) -> Member {
    let mut random = stream(78);
    let width = stage.width(schema.width());
    let layers = vec![
        hidden(&mut random, (width, 8), Activation::Silu, Some(Place::BeforeActivation)),
        output(&mut random, (8, index(schema.outputs()))),
    ];
    Member { stage, layers, ..member(schema, 1, Activation::Silu, None) }
}

/// An ensemble of networks with two stages and of one without.
pub(crate) fn staged_ensemble(schema: &Schema) -> Model {
    let stages = stages(schema).into_iter().take(2);
    let mut members: Vec<Member> = stages.map(|stage| staged_member(schema, stage)).collect();
    members.push(member(schema, 2, Activation::Tanh, None));
    let weights = [0.5, 0.3, 0.2];
    members.iter_mut().zip(weights).for_each(|(member, weight)| member.weight = weight);
    Model::new(schema.clone(), members).unwrap()
}
