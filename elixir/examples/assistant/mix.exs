defmodule Assistant.MixProject do
  use Mix.Project

  def project do
    [
      app: :assistant,
      version: "0.1.0",
      elixir: "~> 1.14",
      start_permanent: Mix.env() == :prod,
      deps: deps()
    ]
  end

  def application do
    [extra_applications: [:logger], mod: {Assistant.Application, []}]
  end

  # From Hex it is `{:vllm_bridge, "~> 0.1"}`.
  defp deps, do: [{:vllm_bridge, path: "../../.."}]
end
