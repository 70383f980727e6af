"""The only patch on Django: which rows the ORM loads, by which statement, at which call site.

``methods`` is the table of the kinds of evaluation, ``patches`` replaces methods of Django,
``evaluations`` and ``cursors`` are what replaces them, ``call_sites`` walks the stack, with
``roles`` (whose a source file is), ``coroutines`` and ``templates``, and ``instances`` counts model
instances.

Private names of Django that the package relies on, each checked on Django 5.2, 6.0 and 6.1:

================================  ==========================================  ======================
name                              file                                        why
================================  ==========================================  ======================
QuerySet._fetch_all               db/models/query.py                          wrapped
QuerySet._iterator                db/models/query.py                          wrapped
QuerySet._iterable_class          db/models/query.py                          kind of the rows
QuerySet._query                   db/models/query.py                          select_related
QuerySet._result_cache            db/models/query.py                          rows, once evaluated
RawQuerySet._fetch_all            db/models/query.py                          wrapped
RawQuerySet._result_cache         db/models/query.py                          rows, once evaluated
ModelIterable                     db/models/query.py                          kind of the rows
ValuesIterable                    db/models/query.py                          kind of the rows
ValuesListIterable                db/models/query.py                          kind of the rows
NamedValuesListIterable           db/models/query.py                          kind of the rows
FlatValuesListIterable            db/models/query.py                          kind of the rows
prefetch_one_level                db/models/query.py                          caller, see methods
Query.select_related              db/models/sql/query.py                      relations followed
Query.max_depth                   db/models/sql/query.py                      relations followed
Query._filtered_relations         db/models/sql/query.py                      relations followed
SQLUpdateCompiler.pre_sql_setup   db/models/sql/compiler.py                   wrapped
ModelState.fields_cache           db/models/base.py                           related instances
Model._state                      db/models/base.py                           related instances
Model.refresh_from_db             db/models/base.py                           caller, see methods
Field.cache_name                  db/models/fields/mixins.py                  key of fields_cache
Collector.collect                 db/models/deletion.py                       caller, see methods
DeferredAttribute.__get__         db/models/query_utils.py                    caller, see methods
ForwardManyToOneDescriptor        db/models/fields/related_descriptors.py     caller, see methods
GenericForeignKey.__get__         contrib/contenttypes/fields.py              caller, see methods
CursorWrapper.execute             db/backends/utils.py                        wrapped
CursorWrapper.executemany         db/backends/utils.py                        wrapped
CursorWrapper.callproc            db/backends/utils.py                        wrapped
CursorWrapper.__getattr__         db/backends/utils.py                        finds fetchone()
CursorWrapper.__iter__            db/backends/utils.py                        wrapped
CursorDebugWrapper.debug_sql      db/backends/utils.py                        wrapped
Node.render_annotated             template/base.py                            node being rendered
Node.token                        template/base.py                            line of the node
Node.origin                       template/base.py                            template of the node
convert_exception_to_response     core/handlers/exception.py                  end of the walk
BaseHandler._get_response         core/handlers/base.py                       end of the walk
View.as_view                      views/generic/base.py                       beginning of a view
handle                            core/management/commands/shell.py           code given as text
================================  ==========================================  ======================

``fetch_many`` in ``related_descriptors.py`` and ``contenttypes/fields.py`` exists since 6.1.
asgiref's ``SyncToAsync.__call__`` and ``thread_handler`` lead from a thread to its coroutine.
"""
