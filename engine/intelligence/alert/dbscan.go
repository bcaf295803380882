package alert

// noise is the cluster of a point that belongs to none.
const noise = -1

// dbscan puts points into clusters (Ester, Kriegel, Sander, Xu: A Density-Based
// Algorithm for Discovering Clusters, KDD-96): a point in whose neighbourhood
// (with itself) weigh at least least is a core; cores that are neighbours are of
// one cluster, and so is a neighbour of a core; the rest is noise. near lists the
// neighbours of a point, which must be mutual; it may name the point itself or
// not. weight is how many points stand at one place. Clusters are numbered from 0
// in the order of their first cores; a point at the edge of several is of the
// first.
func dbscan(weight []int, least int, near func(int) []int) []int {
	cluster := make([]int, len(weight))
	for i := range cluster {
		cluster[i] = noise
	}
	core := func(i int) ([]int, bool) {
		around := near(i)
		sum := weight[i]
		for _, j := range around {
			if j != i {
				sum += weight[j]
			}
		}
		return around, sum >= least
	}
	spread := make([]bool, len(weight)) // cores whose neighbours were taken
	next := 0
	for i := range weight {
		if cluster[i] != noise {
			continue
		}
		around, is := core(i)
		if !is {
			continue
		}
		cluster[i], spread[i] = next, true
		for edge := around; len(edge) > 0; {
			j := edge[len(edge)-1]
			edge = edge[:len(edge)-1]
			if cluster[j] == noise {
				cluster[j] = next
			}
			if cluster[j] != next || spread[j] {
				continue
			}
			if more, is := core(j); is {
				spread[j] = true
				edge = append(edge, more...)
			}
		}
		next++
	}
	return cluster
}
