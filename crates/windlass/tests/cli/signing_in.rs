//! `login`, `logout`, `whoami`, and git's questions.

use crate::desk::Desk;

#[tokio::test(flavor = "multi_thread")]
async fn after_login_neither_the_program_nor_git_asks_for_anything() {
    let desk = Desk::new().await;
    let before = desk.windlass(&["whoami"]).await;
    assert_eq!(before.status, 3);
    assert!(before.err.contains("hint: run `windlass login URL`"), "{before:?}");

    let login = desk.sign_in().await.ok();
    assert!(login.out.contains(&format!("signed in to {} as operator", desk.url)), "{login:?}");
    let who = desk.windlass(&["whoami"]).await.ok();
    assert!(who.out.starts_with(&format!("operator, an operator on {}", desk.url)), "{who:?}");

    let question = format!("protocol=http\nhost={}\n\n", desk.url.trim_start_matches("http://"));
    let answer = desk.git(&["credential", "fill"], &question).await.ok();
    let password = answer.out.lines().find_map(|line| line.strip_prefix("password=")).unwrap();
    assert!(answer.out.contains("username=operator\n"));
    assert!(desk.world.app.identify(Some(password)).await.is_ok(), "the platform takes what git would send");

    let operators = std::fs::read_to_string(desk.world.paths.operator_token()).unwrap();
    assert_ne!(password, operators.trim(), "this machine has a token of its own");
    for told in [&login, &who] {
        assert!(!told.out.contains("wl_") && !told.err.contains("wl_"), "no token on the screen: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_in_again_leaves_one_token_and_one_helper() {
    let desk = Desk::signed_in().await;
    desk.sign_in().await.ok();
    let config = desk.read(".gitconfig");
    assert_eq!(config.matches("git-credential").count(), 1, "{config}");
    let tokens = desk.windlass(&["tokens", "list"]).await.ok();
    assert_eq!(tokens.out.matches("windlass login on").count(), 1, "{tokens:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_logout_the_platform_and_git_have_forgotten_this_machine() {
    let desk = Desk::signed_in().await;
    let question = format!("protocol=http\nhost={}\n\n", desk.url.trim_start_matches("http://"));
    let answer = desk.git(&["credential", "fill"], &question).await.ok();
    let password = answer.out.lines().find_map(|line| line.strip_prefix("password=")).unwrap().to_owned();
    desk.windlass(&["logout"]).await.ok();
    assert_eq!(desk.world.app.identify(Some(&password)).await.unwrap_err().status, 401);
    assert!(!desk.read(".config/windlass/credentials.toml").contains("wl_"));
    assert!(!desk.read(".gitconfig").contains("git-credential"));
    assert_eq!(desk.windlass(&["whoami"]).await.status, 3);
    assert_eq!(desk.windlass(&["logout"]).await.status, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn git_is_stopped_with_what_to_do_when_the_token_is_gone() {
    let desk = Desk::signed_in().await;
    let address = desk.url.trim_start_matches("http://").to_owned();
    let question = format!("protocol=http\nhost={address}\n\n");
    let answer = desk.git(&["credential", "fill"], &question).await.ok();
    desk.git(&["credential", "reject"], &format!("{}\n", answer.out)).await.ok();
    let again = desk.git(&["credential", "fill"], &question).await;
    assert_ne!(again.status, 0);
    assert!(again.err.contains(&format!("windlass: run `windlass login {}` first", desk.url)), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_or_address_is_told_and_nothing_is_kept() {
    let desk = Desk::new().await;
    let wrong = desk.windlass_with(&["login", &desk.url, "--token-file", "-"], "wl_personal_00\n").await;
    assert_eq!(wrong.status, 3, "{wrong:?}");
    assert!(wrong.err.contains("the token is not valid"));
    let none = desk.windlass(&["login", &desk.url]).await;
    assert_eq!(none.status, 2);
    assert!(none.err.contains("--token-file FILE"), "{none:?}");
    let tls = desk.windlass(&["login", "https://localhost:1"]).await;
    assert!(tls.status == 2 && tls.err.contains("plain HTTP only"), "{tls:?}");
    let nobody =
        desk.windlass_with(&["login", "http://localhost:1", "--token-file", "-"], "wl_personal_00\n").await;
    assert!(nobody.status == 8 && nobody.err.contains("cannot reach http://localhost:1"), "{nobody:?}");
    assert!(desk.read(".config/windlass/credentials.toml").is_empty() && desk.read(".gitconfig").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_brings_server_and_token_by_environment_and_needs_no_home() {
    let desk = Desk::new().await;
    let token = std::fs::read_to_string(desk.world.paths.operator_token()).unwrap();
    let both = [("WINDLASS_SERVER", desk.url.as_str()), ("WINDLASS_TOKEN", token.trim()), ("HOME", "")];
    let program = env!("CARGO_BIN_EXE_windlass");
    let who = desk.run(program, &["whoami", "--json"], &both, "").await.ok();
    assert_eq!(who.json()["user"], "operator");
    let alone = desk.run(program, &["whoami"], &both[1..2], "").await;
    assert_eq!(alone.status, 3, "a token goes only to a server that is named: {alone:?}");
}
