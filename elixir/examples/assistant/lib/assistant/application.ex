defmodule Assistant.Application do
  @moduledoc false

  use Application

  @impl true
  def start(_type, _args) do
    # Vllm, or in tests Vllm.Test, which takes the same options.
    vllm = Application.fetch_env!(:assistant, :vllm)
    children = [{vllm, name: Assistant.Vllm, engines: [chat: engine()]}]
    Supervisor.start_link(children, strategy: :one_for_one, name: Assistant.Supervisor)
  end

  # The small model is downloaded on the first start, unless the configuration names another.
  defp engine do
    Keyword.put_new_lazy(Application.fetch_env!(:assistant, :engine), :model, fn ->
      Vllm.SmallModel.path!(:chat)
    end)
  end
end
