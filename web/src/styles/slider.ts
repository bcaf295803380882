import 'element-plus/theme-chalk/el-popper.css'
import 'element-plus/theme-chalk/el-slider.css'
