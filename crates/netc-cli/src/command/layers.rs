//! `netc layers MODEL --above X | --below X`: the layers that transfer learning trains or freezes.

use netc_passes::analysis::{CutError, LayerPath, layers_above, layers_below};
use serde_json::{Value, json};

use super::inspect::short;
use crate::args::LayersArgs;
use crate::error::{CliError, Result};
use crate::input::{self, Tables};
use crate::text;

pub(crate) fn run(args: &LayersArgs, tables: &Tables) -> Result<()> {
    let session = tables.session(&args.model.library, None)?;
    let model = input::load(&session, &args.input, args.model.weights.as_deref())?.merged()?;
    let layers = match (&args.above, &args.below) {
        (Some(name), _) => layers_above(&model.module, name, session.dialects()),
        (None, Some(name)) => layers_below(&model.module, name, session.dialects()),
        (None, None) => Ok(Vec::new()),
    };
    let layers = layers.map_err(not_a_layer)?;
    if args.json {
        let row = |path: &LayerPath| json!({"name": path.name, "class": short(&model.module[path.layer].class)});
        let rows: Vec<Value> = layers.iter().map(row).collect();
        return text::print_data(&format!("{:#}\n", Value::from(rows)));
    }
    text::print_data(&layers.iter().map(|path| format!("{}\n", path.name)).collect::<String>())
}

/// Rewords the error of a cut for a command that takes a layer.
pub(super) fn not_a_layer(error: CutError) -> CliError {
    CliError::input(match error {
        CutError::Input { name } => format!("`{name}` is an input of the model; name a layer after it"),
        CutError::Opaque { name, layer, class } => {
            format!("`{name}` is inside `{layer}` ({class}), which netc treats as one layer; name `{layer}`")
        }
        CutError::Empty { spec } => format!("there is no layer `{spec}`"),
        other @ (CutError::Unknown { .. }
        | CutError::Nested { .. }
        | CutError::Inside { .. }
        | CutError::SeveralApplications { .. }
        | CutError::NoSuchApplication { .. }
        | CutError::IndexOutOfRange { .. }
        | CutError::NoLayers { .. }) => other.to_string(),
    })
}
