//! Turns proto/ into Rust: no protoc on the machine, the compiler is a crate.

use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from("../../proto");
    println!("cargo:rerun-if-changed=../../proto");
    let roles = ["event", "registry", "audience", "dispatch", "sms", "email", "report"];
    let files: Vec<PathBuf> = roles.iter().map(|role| root.join(format!("loa/{role}/v1/{role}.proto"))).collect();
    let set = protox::compile(&files, [&root])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), set.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".loa.audience.v1.ImportDatasetRequest.data").compile_fds(set)?;
    Ok(())
}
