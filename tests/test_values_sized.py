from django_memsize.values import OwnTuple, Sized


def test_a_tree_is_indented_by_four_blanks():
    tree = Sized("[1, 'a']", 122, 72, (Sized("'a'", 50, 50), Sized("1", 0, 0)))

    assert (
        tree.format() == "[1, 'a'] size=122 flat=72\n    'a' size=50 flat=50\n    1 size=0 flat=0"
    )


def test_a_tree_is_built_from_the_nodes_of_the_engine():
    tree = Sized.of_node(("[[]]", 112, 56, [("[]", 56, 56, [])]))

    assert tree == Sized("[[]]", 112, 56, (Sized("[]", 56, 56),))
    assert type(tree.refs) is OwnTuple
