//! Compiles the machine that the simulated processes run on into this crate's binary.

fn main() {
    println!("cargo::rerun-if-changed=src/machine.c");
    let objects = cc::Build::new().file("src/machine.c").warnings(true).compile_intermediates();
    for object in objects {
        // Named as an object, not as a library: its symbols go before those of the C library.
        println!("cargo::rustc-link-arg-bins={}", object.display());
    }
    println!("cargo::rustc-link-arg-bins=-Wl,--export-dynamic-symbol=getrandom");
}
