defmodule Vllm.BlockingHandler do
  @moduledoc false
  # A handler of :logger that keeps the messages of one instance, and blocks those who log for it while
  # the test wants that.

  def handle(instance) do
    id = :"#{__MODULE__}.#{instance}"
    {:ok, agent} = Agent.start_link(fn -> [] end)
    :ets.new(table(instance), [:named_table, :public])
    config = %{level: :all, config: %{instance: instance, agent: agent, table: table(instance)}}
    :ok = :logger.add_handler(id, __MODULE__, config)
    ExUnit.Callbacks.on_exit(fn -> :logger.remove_handler(id) end)
    fn -> agent |> Agent.get(& &1) |> Enum.reverse() end
  end

  def block(instance), do: :ets.insert(table(instance), {:blocked, true})
  def unblock(instance), do: :ets.insert(table(instance), {:blocked, false})

  @doc false
  def log(%{meta: %{vllm_instance: instance}, msg: message}, %{
        config: %{instance: instance} = config
      }) do
    await(config.table)
    Agent.update(config.agent, &[text(message) | &1])
  end

  def log(_event, _config), do: :ok

  defp await(table) do
    if :ets.lookup(table, :blocked) == [{:blocked, true}] do
      receive do
      after
        1 -> await(table)
      end
    end
  end

  defp text({:string, text}), do: IO.chardata_to_string(text)
  defp text(other), do: inspect(other)

  defp table(instance), do: :"#{__MODULE__}.#{instance}.table"
end
