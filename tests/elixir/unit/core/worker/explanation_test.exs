defmodule Vllm.Core.Worker.ExplanationTest do
  use Vllm.ShellWorkerCase, async: true

  alias Vllm.Core.Worker.Explanation

  # Prints the failure of each engine when the test makes its file.
  @failures """
  #{@ready}
  for n in 1 2; do
    while [ ! -e "$DIR/$n" ]; do sleep 0.01; done
    echo "ERROR [core.py:1] ValueError: cause $n"
    echo "ERROR [core.py:2] RuntimeError: Engine core initialization failed"
  done
  exec sleep 600
  """

  test "names the failure after the mark, and waits for late lines", context do
    {:ok, worker} = start(context, @failures, env: %{"DIR" => context.dir})
    instance = {context.test, node()}
    error = Error.new(:engine_error, "it did not start")

    assert 0 = Explanation.mark(instance)
    File.touch!(Path.join(context.dir, "1"))
    wait_until(fn -> Explanation.mark(instance) == 2 end)
    assert %Error{message: "ValueError: cause 1"} = Explanation.explain(instance, error, 0)

    # Nothing was printed since: vLLM's words stay.
    assert %Error{message: "it did not start"} = Explanation.explain(instance, error, 2)

    File.touch!(Path.join(context.dir, "2"))
    explained = explained(instance, error, 2)
    assert explained.message == "ValueError: cause 2"
    assert explained.details["reported"] == "it did not start"
    assert Enum.all?(explained.details["log"], &(not (&1 =~ "cause 1")))
    stop(worker)
  end

  @several """
  #{@ready}
  cat <<'LOG'
  (Worker pid=7) ERROR 11-21 09:29:21 [multiproc_executor.py:953] RuntimeError: no weights
  (EngineCore pid=5) ERROR 11-21 09:29:23 [core.py:1510] ValueError: no memory
  (EngineCore pid=6) ERROR 11-21 09:29:26 [core.py:1510] Exception: WorkerProc initialization failed
  ValueError: no memory
  LOG
  exec sleep 60
  """

  test "names all causes if several engines have failed", context do
    {:ok, worker} = start(context, @several)
    instance = {context.test, node()}
    wait_until(fn -> Explanation.mark(instance) == 4 end)
    error = Error.new(:engine_error, "it did not start.")

    assert %Error{message: message} = explained = Explanation.explain(instance, error, 0)
    assert String.starts_with?(message, "it did not start. Several engines of this worker failed")
    assert String.ends_with?(message, ": RuntimeError: no weights; ValueError: no memory")
    assert explained.details["reported"] == "it did not start."
    assert length(explained.details["log"]) == 4

    # One of them alone is one.
    assert %Error{message: "ValueError: no memory"} = Explanation.explain(instance, error, 2)
    stop(worker)
  end

  # As long as it waits, a busy machine may need longer to say it.
  defp explained(instance, error, mark) do
    explained = Explanation.explain(instance, error, mark)
    if explained.message == error.message, do: explained(instance, error, mark), else: explained
  end

  test "keeps the error if there is no log" do
    instance = {:"no such instance", node()}
    error = Error.new(:engine_error, "it did not start")
    assert Explanation.mark(instance) == nil
    assert Explanation.explain(instance, error, nil) == error
  end
end
