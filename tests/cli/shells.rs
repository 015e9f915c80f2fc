//! What is generated of the command line: completions and manual pages.

use std::process::Command;

use super::Walpost;

/// What `walpost` prints with these arguments.
fn printed(arguments: &[&str]) -> String {
    let answer = Walpost::new(arguments).run();
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    answer.stdout
}

#[test]
fn every_shell_gets_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        for command in ["run", "setup", "dlq", "doctor", "status", "sandbox", "config", "completions", "man", "discard"]
        {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
    }
    let unknown = Walpost::new(&["completions", "csh"]).run();
    assert_eq!((unknown.code, unknown.stdout.as_str()), (Some(2), ""));
}

#[test]
fn bash_completes_commands_and_options() {
    let script = printed(&["completions", "bash"]);
    let complete = |words: &str, at: usize, last: &str| {
        let ask =
            format!("COMP_WORDS=({words}); COMP_CWORD={at}; _walpost walpost {last:?} x; echo \"${{COMPREPLY[@]}}\"");
        let output = Command::new("bash").args(["-c", &format!("{script}\n{ask}")]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("walpost dl", 1, "dl"), "dlq");
    assert_eq!(complete("walpost dlq dis", 2, "dis"), "discard");
    assert_eq!(complete("walpost status --wa", 2, "--wa"), "--watch");
}

#[test]
fn each_command_has_a_manual_page() {
    let whole = printed(&["man"]);
    assert!(whole.contains(".TH walpost 1") && whole.contains("dlq") && whole.contains("Exit codes"), "{whole}");
    let part = printed(&["man", "dlq", "discard"]);
    assert!(part.contains("Give events up"), "{part}");
    let none = Walpost::new(&["man", "dlq", "fly"]).run();
    assert_eq!((none.code, none.stdout.as_str()), (Some(1), ""));
    assert!(none.stderr.contains("there is no command \"fly\" of dlq"), "{}", none.stderr);
}
