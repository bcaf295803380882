package watch_test

func watchUntilKilled(string, string) {}
