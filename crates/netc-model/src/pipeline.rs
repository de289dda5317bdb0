//! Tools that passes use: arithmetic and measured costs.

use std::env;
use std::path::PathBuf;

use netc_exec::{ConstsOn, MeasuredCosts};
use netc_ir::Module;
use netc_pass::{Context, Fuel};

use crate::limits;
use crate::session::Session;

/// Tools for passes on the host of a session: arithmetic and the measured costs of ops.
///
/// Saves the measurements when dropped.
pub struct PassTools<'s> {
    session: &'s Session,
    consts: ConstsOn<'s>,
    costs: MeasuredCosts,
}

impl<'s> PassTools<'s> {
    /// Tools with the op costs that this version of netc has measured on this machine so far.
    ///
    /// They are kept in the user's cache folder. Without one, they are measured each time.
    ///
    /// ```
    /// # use netc_format::Formats;
    /// # use netc_model::Session;
    /// # let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
    /// # let module = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
    /// # let model = netc.model(module, "tiny", "tiny")?;
    /// use netc_model::PassTools;
    /// use netc_pass::{Fuel, Manager};
    ///
    /// let tools = PassTools::of(&netc);
    /// let mut module = model.module.clone();
    /// let mut context = tools.context(&module, Fuel::unlimited());
    /// Manager::new(netc.registry()).run(&mut module, &"lower,fold-const".parse()?, &mut context)?;
    /// assert!(context.fuel.burnt() > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(session: &'s Session) -> Self {
        let folder = |name: &str| env::var_os(name).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let caches = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
        let file = |caches: PathBuf| caches.join("netc").join(concat!("op-costs-", env!("CARGO_PKG_VERSION")));
        let costs = caches.map_or_else(MeasuredCosts::default, |caches| MeasuredCosts::kept_in(file(caches)));
        Self { session, consts: ConstsOn(session.host()), costs: costs.on(session.host().clone()) }
    }

    /// The context for running a pipeline on `module`.
    pub fn context(&self, module: &Module, fuel: Fuel) -> Context<'_> {
        let max_ops = limits::max_ops(module, self.session.host().max_steps());
        let context = Context::new(self.session.dialects()).with_consts(&self.consts).with_costs(&self.costs);
        context.with_max_ops(max_ops).with_fuel(fuel)
    }
}

impl Drop for PassTools<'_> {
    fn drop(&mut self) {
        // If saving fails, the costs are measured again next time.
        let _ = self.costs.save();
    }
}
