package automation

import "log/slog"

// Open says where jobs on this machine keep their files and where problems are
// logged, for an engine whose loops were declared before that was known. It must
// be called before they run.
func (e *Engine) Open(folder string, log *slog.Logger) { e.folder, e.log = folder, log }
