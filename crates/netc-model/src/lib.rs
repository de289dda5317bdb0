//! netc as a library: open a model, split it, prove that nothing changed, save it.
//!
//! ```
//! use netc_format::Formats;
//! use netc_model::Session;
//!
//! # let folder = tempfile::tempdir()?;
//! # std::env::set_current_dir(&folder)?;
//! let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
//! # let tiny = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
//! # netc.model(tiny, "tiny", "tiny")?.save("tiny.keras")?;
//!
//! // Weights stay in the file until something asks for them.
//! let model = netc.open("tiny.keras")?;
//!
//! let stages = model.split(["sum"])?;
//! assert!(stages.verify(1)?.bit_equal());
//! stages.save("out", None)?;
//!
//! // The manifest opens as a model, the chain of its stages.
//! let chain = netc.open("out/manifest.json")?;
//! let inputs = chain.random_inputs(Default::default())?;
//! assert_eq!(chain.run(&inputs)?, model.run(&inputs)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The crate has no formats of its own. A [`Session`] receives the table of formats to read and write.

mod actions;
mod error;
pub mod limits;
pub mod manifest;
mod model;
mod open;
pub mod output;
mod pipeline;
pub mod save;
mod session;
mod stage_graph;
mod stages;
pub mod verify;

pub use error::{ModelError, Remedy, Result};
pub use model::Model;
pub use open::OpenOptions;
pub use pipeline::PassTools;
pub use save::{Destination, Saved};
pub use session::{Config, Session};
pub use stage_graph::{Origin, Stage, StageGraph};
pub use stages::Stages;
pub use verify::{Executable, Random, RunInputs, Verification, verify};
