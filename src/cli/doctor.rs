//! `rapport doctor`.

use anyhow::Result;
use clap::Args;

use crate::backend;
use crate::report::Machine;
use crate::store::print;

/// Says what this machine and build can do, opening each backend's device.
#[derive(Args)]
pub struct Doctor {}

impl Doctor {
    pub fn run(self) -> Result<()> {
        let machine = Machine::this();
        let mut text = format!("{}, {} cores, {}\n", machine.cpu, machine.cores, machine.os);
        if let Some(memory) = machine.memory_gb {
            text.push_str(&format!("{memory:.1} GB memory\n"));
        }
        print(&format!("{text}{}\n", machine.version))?;
        for (name, built) in backend::BACKENDS {
            let state = if built {
                match backend::probe(name) {
                    Ok(()) => "works".to_owned(),
                    Err(error) => format!("does not work: {error:#}"),
                }
            } else {
                format!("not in this build; `make ... BACKEND={name}` builds it")
            };
            print(&format!("{name:8} {state}\n"))?;
        }
        Ok(())
    }
}
