import gc

from django_memsize.measuring.collector import collected_so_far, full_collections_so_far


def test_what_the_collector_frees_and_how_often_it_examines_all_is_counted():
    gc.collect()
    collected, full = collected_so_far(), full_collections_so_far()
    cycle = []
    cycle.append(cycle)
    del cycle
    gc.collect()

    assert collected_so_far() > collected
    assert full_collections_so_far() == full + 1
