import { createRouter, createWebHistory, type RouteLocationNormalized } from 'vue-router'
import RecordList from './pages/RecordList.vue'
import SignIn from './pages/SignIn.vue'
import { isFounder, mustChangePassword, user } from './model/session'
import type { Key } from './words'

declare module 'vue-router' {
  interface RouteMeta {
    /** Shown without the shell, to people who are not signed in. */
    bare?: boolean
    /** Title of the browser's tab; pages of records set their own. */
    title?: Key
  }
}

/**
 * The two pages that are opened first come with the shell; the others when they
 * are gone to. Paths follow the REST door: what is at /api/loans/17 is shown at /loans/17.
 */
export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: '/sign-in', name: 'sign-in', component: SignIn, meta: { bare: true, title: 'signIn.title' } },
    { path: '/start', name: 'start', component: () => import('./pages/FirstStart.vue'), meta: { bare: true, title: 'start.title' } },
    { path: '/', name: 'home', component: () => import('./pages/Home.vue'), meta: { title: 'home.title' } },
    { path: '/my-tasks', name: 'my-tasks', component: () => import('./pages/MyTasks.vue'), meta: { title: 'tasks.title' } },
    { path: '/catalogue', name: 'catalogue', component: () => import('./pages/Catalogue.vue'), meta: { title: 'catalogue.title' } },
    { path: '/audits', name: 'audits', component: () => import('./pages/Audit.vue'), meta: { title: 'audit.title' } },
    { path: '/clinical', redirect: '/clinical/patients' },
    { path: '/clinical/patients', name: 'patients', component: () => import('./clinical/Patients.vue'), meta: { title: 'clinical.patients' } },
    { path: '/clinical/patients/:id', name: 'patient', component: () => import('./clinical/PatientSummary.vue') },
    { path: '/clinical/patients/:id/timeline', name: 'patient-timeline', component: () => import('./clinical/PatientTimeline.vue') },
    { path: '/clinical/resources/:type?', name: 'resources', component: () => import('./clinical/Resources.vue') },
    { path: '/clinical/resources/:type/:id', name: 'resource', component: () => import('./clinical/ResourcePage.vue') },
    { path: '/clinical/upload', name: 'upload', component: () => import('./clinical/Upload.vue'), meta: { title: 'clinical.upload' } },
    { path: '/clinical/terminology', name: 'terminology', component: () => import('./clinical/Terminology.vue'), meta: { title: 'clinical.terminology' } },
    { path: '/operations', name: 'operations', component: () => import('./operations/Overview.vue'), meta: { title: 'operations.overview' } },
    { path: '/operations/topology', name: 'topology', component: () => import('./operations/TopologyPage.vue'), meta: { title: 'operations.topology' } },
    { path: '/operations/one-click', name: 'one-click', component: () => import('./operations/OneClick.vue'), meta: { title: 'operations.oneClick' } },
    { path: '/operations/knowledge', name: 'knowledge', component: () => import('./operations/Knowledge.vue'), meta: { title: 'operations.knowledge' } },
    { path: '/operations/review', name: 'review', component: () => import('./operations/Review.vue'), meta: { title: 'operations.review' } },
    { path: '/operations/quiet', name: 'quiet', component: () => import('./operations/Quiet.vue'), meta: { title: 'operations.quiet' } },
    { path: '/operations/forecasts', name: 'foreseen', component: () => import('./operations/Forecasts.vue'), meta: { title: 'operations.forecasts' } },
    { path: '/intents/new', name: 'new-intent', component: () => import('./operations/IntentForm.vue'), meta: { title: 'operations.newIntent' } },
    { path: '/intents/:id/edit', name: 'edit-intent', component: () => import('./operations/IntentForm.vue'), meta: { title: 'operations.editIntent' } },
    { path: '/:plural', name: 'list', component: RecordList },
    { path: '/:plural/new', name: 'new', component: () => import('./pages/RecordForm.vue') },
    { path: '/:plural/diagram', name: 'diagram', component: () => import('./pages/Diagram.vue') },
    { path: '/:plural/:id', name: 'record', component: () => import('./pages/RecordDetail.vue') },
    { path: '/:plural/:id/edit', name: 'edit', component: () => import('./pages/RecordForm.vue') },
    { path: '/:plural/:id/timeline', name: 'timeline', component: () => import('./pages/RecordTimeline.vue') },
    { path: '/:rest(.*)*', name: 'nowhere', component: () => import('./pages/Nowhere.vue'), meta: { title: 'nowhere.title' } },
  ],
})

router.beforeEach((to: RouteLocationNormalized) => {
  if (to.name === 'sign-in') return true
  if (!user.value) return { name: 'sign-in', query: to.path === '/' ? {} : { next: to.fullPath } }
  // Until the password is the person's own and the house has its administrators nothing else is open.
  if ((mustChangePassword.value || isFounder.value) && to.name !== 'start') return { name: 'start' }
  if (to.name === 'start' && !mustChangePassword.value && !isFounder.value) return { name: 'home' }
  return true
})
