//! The CNB lifecycle: detect and build inside the sandbox, analyze, restore and export outside it, launcher.
