// Package all is the explicit list of the applications in the program. Adding
// one is a folder and a line here.
package all

import (
	librarydesk "zhiwei/apps/library-desk"
	"zhiwei/apps/operations"
	"zhiwei/apps/watch"
	"zhiwei/kernel/app"
)

// Apps lists the applications in the order they start.
func Apps() []app.App {
	return []app.App{
		{Name: "watch", Module: &watch.App{}},
		{Name: operations.Name, Module: &operations.App{}, Needs: []string{"watch"}},
		{Name: "library-desk", Module: librarydesk.Desk{}},
	}
}
