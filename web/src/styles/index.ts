// Styles of Element Plus's parts come with the parts that use them (dialog.ts, drawer.ts …): the first view needs none.
import 'element-plus/theme-chalk/base.css'
import './tokens.css'
import './base.css'
import './print.css'
