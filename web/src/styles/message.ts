import 'element-plus/theme-chalk/el-message.css'
