defmodule Vllm.Recap do
  # A formatter in addition to ExUnit's own. It repeats the failures at the end, without their logs,
  # because thousands of lines may follow a failure in a long run.
  use GenServer

  import ExUnit.Formatter

  @width 100

  @doc false
  @spec begin() :: :ok
  def begin do
    ExUnit.configure(formatters: [ExUnit.CLIFormatter, __MODULE__])
    # Formatters write at the same time; what is written after the suite comes last.
    ExUnit.after_suite(fn _result -> IO.write(text()) end)
  end

  @impl true
  def init(_opts), do: {:ok, []}

  @impl true
  def handle_cast({:test_finished, %{state: {:failed, failures}} = test}, failed),
    do: add(failed, &format_test_failure(test, failures, &1, @width, &2))

  def handle_cast({:module_finished, %{state: {:failed, failures}} = module}, failed),
    do: add(failed, &format_test_all_failure(module, failures, &1, @width, &2))

  def handle_cast(_event, failed), do: {:noreply, failed}

  defp add(failed, format) do
    failed = failed ++ [format.(length(failed) + 1, &plain/2)]
    :persistent_term.put(__MODULE__, failed)
    {:noreply, failed}
  end

  defp plain(:diff_enabled?, _default), do: false
  defp plain(_key, text), do: text

  defp text do
    case :persistent_term.get(__MODULE__, []) do
      [] -> []
      failed -> ["\nWhat has failed, once more without logs:\n\n", Enum.intersperse(failed, "\n")]
    end
  end
end
