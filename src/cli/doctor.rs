//! `rapport doctor`.

use anyhow::Result;
use clap::Args;

use crate::backend;
use crate::report::Machine;

/// Says what this machine and build can do, opening each backend's device.
#[derive(Args)]
pub struct Doctor {}

impl Doctor {
    pub fn run(self) -> Result<()> {
        let machine = Machine::this();
        println!("{}, {} cores, {}", machine.cpu, machine.cores, machine.os);
        if let Some(memory) = machine.memory_gb {
            println!("{memory:.1} GB memory");
        }
        println!("{}", machine.version);
        for (name, built) in backend::BACKENDS {
            let state = if built {
                match backend::probe(name) {
                    Ok(()) => "works".to_owned(),
                    Err(error) => format!("does not work: {error:#}"),
                }
            } else {
                format!("not in this build; `make ... BACKEND={name}` builds it")
            };
            println!("{name:8} {state}");
        }
        Ok(())
    }
}
